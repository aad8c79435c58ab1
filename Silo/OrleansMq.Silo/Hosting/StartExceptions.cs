namespace OrleansMq.Silo.Hosting;

/// <summary>The broker cannot start; the message is one line that names what is in the way, and the fix.</summary>
internal sealed class StartException(string message, Exception? inner = null) : Exception(message, inner);

/// <summary>A host cannot start; the message is one line that names the reason, and the fix.</summary>
internal sealed class HostRefusedException(string message, Exception inner) : Exception(message, inner);
