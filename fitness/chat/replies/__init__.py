"""What an endpoint sent back, read in every dialect: answers, streams, usage, reasoning and refusals.

Nothing is sent here: that is `fitness.chat.client`.
"""
