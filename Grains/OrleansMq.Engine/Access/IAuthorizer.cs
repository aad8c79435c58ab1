namespace OrleansMq.Access;

/// <summary>Decides what sessions may do. Decisions come from memory: no call blocks. Thread safe.</summary>
public interface IAuthorizer
{
    /// <summary>Changes whenever a decision may have changed. Sessions cache decisions under it.</summary>
    int Version { get; }

    /// <summary>Whether a session may perform an operation.</summary>
    /// <param name="session">The caller.</param>
    /// <param name="operation">The operation.</param>
    /// <param name="type">The kind of resource.</param>
    /// <param name="name">The resource's name; it need not exist.</param>
    bool Allows(BrokerSession session, AccessOperation operation, ResourceType type, string name);

    /// <summary>Whether a session may perform an operation on some resource of a kind. An idempotent producer gets its id for a topic that
    /// it names later.</summary>
    /// <param name="session">The caller.</param>
    /// <param name="operation">The operation.</param>
    /// <param name="type">The kind of resource.</param>
    bool AllowsAny(BrokerSession session, AccessOperation operation, ResourceType type) => false;
}

/// <summary>Allows every operation: a broker without access control.</summary>
public sealed class AllowAll : IAuthorizer
{
    private AllowAll() { }

    /// <summary>The only instance.</summary>
    public static AllowAll Instance { get; } = new();

    /// <inheritdoc/>
    public int Version => 0;

    /// <inheritdoc/>
    public bool Allows(BrokerSession session, AccessOperation operation, ResourceType type, string name) => true;

    /// <inheritdoc/>
    public bool AllowsAny(BrokerSession session, AccessOperation operation, ResourceType type) => true;
}
