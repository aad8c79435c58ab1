namespace OrleansMq.Tests.Fuzz;

/// <summary>A hostile client has done harm.</summary>
internal sealed class FuzzFailedException(string message, Exception? inner = null) : Exception(message, inner);
