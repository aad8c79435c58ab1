namespace OrleansMq.Tls;

/// <summary>A certificate, key or rule cannot be used. The message names the file and the fix, never a password.</summary>
/// <param name="message">The message.</param>
/// <param name="cause">The cause.</param>
public sealed class TlsConfigurationException(string message, Exception? cause = null) : Exception(message, cause);
