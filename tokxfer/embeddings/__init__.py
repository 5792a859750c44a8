"""Initializers: rows for the tokens two vocabularies do not share, one `VocabularyMap` per matrix.

A method is one module and one line in `registry`. It is handed a `Problem` (one matrix), and
returns a `Solution`; `assemble` turns that into the whole map and `apply_map` into rows.
"""

from tokxfer.embeddings.applying import apply_map, mean_row
from tokxfer.embeddings.assembling import Assembly, assemble, pose
from tokxfer.embeddings.asymmetric import Asymmetric
from tokxfer.embeddings.auto import Auto, Settled, settled
from tokxfer.embeddings.blend import Blend
from tokxfer.embeddings.bytestart import ByteStart
from tokxfer.embeddings.focus import Focus
from tokxfer.embeddings.gaussian import Gaussian
from tokxfer.embeddings.heldout import HeldOut, held_out
from tokxfer.embeddings.knn import Neighbours
from tokxfer.embeddings.linear import Linear
from tokxfer.embeddings.mean import Mean
from tokxfer.embeddings.omp import OMP
from tokxfer.embeddings.problem import (
    Corpus,
    Encoder,
    Method,
    Problem,
    Solution,
    Solver,
    Training,
    label,
    reads_donor,
    uses,
)
from tokxfer.embeddings.procrustes import Procrustes
from tokxfer.embeddings.registry import REGISTRY, build_method
from tokxfer.embeddings.subword import Subword
from tokxfer.embeddings.subword_first import SubwordFirst
from tokxfer.embeddings.subword_last import SubwordLast
from tokxfer.embeddings.subword_length import SubwordLength
from tokxfer.embeddings.tokenadapt_global import TokenAdaptGlobal
from tokxfer.embeddings.tokenadapt_hybrid import TokenAdaptHybrid
from tokxfer.embeddings.tokenadapt_local import TokenAdaptLocal
from tokxfer.embeddings.undertrained import undertrained_rows
from tokxfer.embeddings.wechsel import Wechsel
from tokxfer.embeddings.zero import Zero

__all__ = [
    "OMP",
    "REGISTRY",
    "Assembly",
    "Asymmetric",
    "Auto",
    "Blend",
    "ByteStart",
    "Corpus",
    "Encoder",
    "Focus",
    "Gaussian",
    "HeldOut",
    "Linear",
    "Mean",
    "Method",
    "Neighbours",
    "Problem",
    "Procrustes",
    "Settled",
    "Solution",
    "Solver",
    "Subword",
    "SubwordFirst",
    "SubwordLast",
    "SubwordLength",
    "TokenAdaptGlobal",
    "TokenAdaptHybrid",
    "TokenAdaptLocal",
    "Training",
    "Wechsel",
    "Zero",
    "apply_map",
    "assemble",
    "build_method",
    "held_out",
    "label",
    "mean_row",
    "pose",
    "reads_donor",
    "settled",
    "undertrained_rows",
    "uses",
]
