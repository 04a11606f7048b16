"""A tutoring world: a grammar of lessons between a student and a tutor, and a judge that decides the quality of any
reply exactly, from its text."""
