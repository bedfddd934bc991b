"""Tickets that leave home: routes that make a ticket from other tickets, and what they cost."""
