"""Objectives of distillation: pure functions of what a teacher and a student say of one text."""
