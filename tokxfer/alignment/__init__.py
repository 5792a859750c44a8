"""Two tokenizations of one text: where both end at the same byte, and what lies between.

Tokens are placed in the bytes of the original text. A chunk is a stretch between neighbouring bytes
at which tokens end on both sides: the finest segmentation that both share.
"""
