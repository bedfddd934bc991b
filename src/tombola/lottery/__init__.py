"""The lottery: the loop that draws winning tickets, the arms trained beside them, ticket files."""
