"""`tokxfer-lm-eval`: the LM evaluation harness's own command, with `tokxfer-bytes` among models."""

from __future__ import annotations

import importlib.util
import sys

from tokxfer.cli.failures import report_failure
from tokxfer.errors import TokxferError


def main() -> None:
    """Register the model and hand over; known failures become one sentence and an exit code."""
    try:
        if importlib.util.find_spec("lm_eval") is None:
            raise TokxferError("lm-eval is not installed.", "pip install 'tokxfer[eval]'")
        from lm_eval.__main__ import cli_evaluate

        import tokxfer.workflows.lm_eval_model  # noqa: F401

        cli_evaluate()
    except BaseException as failure:
        sys.exit(report_failure(failure))


if __name__ == "__main__":
    main()
