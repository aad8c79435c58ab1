namespace OrleansMq.Gateways.Tokens;

/// <summary>The keys of tokens cannot be used; the message names their place, and what is wrong with them.</summary>
public sealed class TokenConfigurationException(string message, Exception? inner = null) : Exception(message, inner);
