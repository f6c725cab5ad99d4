"""What is learnt: contrasts of phases, their exact rivals, and how well they agree."""
