"""What is known of membership in tickets before they are drawn: told from others, and put there by seeding."""
