"""Searches: trainings that find a mask on their way."""
