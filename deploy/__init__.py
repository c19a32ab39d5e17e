"""What operators run: deploying to AWS, and looking whether what came of it is what it should be."""
