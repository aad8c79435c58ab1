namespace OrleansMq.PostgreSql.Schema;

/// <summary>The database answers, but its schema cannot be brought to this program's version. The message has the reason and the
/// fix.</summary>
public sealed class SchemaRefusedException(string message, Exception? inner = null) : Exception(message, inner);

/// <summary>The database server does not answer, or not yet. A retry may help.</summary>
public sealed class DatabaseUnreachableException(string message, Exception inner) : Exception(message, inner);
