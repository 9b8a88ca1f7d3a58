"""What reaches the loss, held against what the chat template says it should be, before anything is trained."""
