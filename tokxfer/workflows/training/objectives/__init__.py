"""Objectives of training, one module each: what they ask of teacher and student."""
