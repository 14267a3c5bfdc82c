"""What the board is made of, besides the wall and the chart."""
