namespace OrleansMq.Access;

/// <summary>An authorizer that allows what it would refuse, so that operators see what is missing before they enforce rules. Thread
/// safe.</summary>
internal interface IDryRun
{
    /// <summary>Whether it allows what it would refuse.</summary>
    bool OnlyWarns { get; }

    /// <summary>Whether it allows an operation only since it refuses nothing.</summary>
    /// <param name="session">The caller.</param>
    /// <param name="operation">The operation.</param>
    /// <param name="type">The kind of resource.</param>
    /// <param name="name">The resource's name.</param>
    bool WouldRefuse(BrokerSession session, AccessOperation operation, ResourceType type, string name);
}
