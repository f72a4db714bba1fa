"""What plug-in authors test with: a real server that speaks the OpenAI protocol, with faults."""
