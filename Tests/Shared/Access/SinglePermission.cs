using OrleansMq.Access;

namespace OrleansMq.Tests.Shared;

/// <summary>Allows one operation on every resource of one kind, or two, and nothing else.</summary>
public sealed class SinglePermission : IAuthorizer
{
    private (ResourceType Type, AccessOperation Operation)? _permission;
    private (ResourceType Type, AccessOperation Operation)? _second;
    private bool _allowsAll;

    /// <summary>Every permission that there is.</summary>
    public static (ResourceType Type, AccessOperation Operation)[] All { get; } =
        [.. from type in new[] { ResourceType.Topic, ResourceType.Group, ResourceType.Cluster, ResourceType.TransactionalId }
            from operation in new[] { AccessOperation.Read, AccessOperation.Write, AccessOperation.Create, AccessOperation.Delete,
                AccessOperation.Alter, AccessOperation.Describe, AccessOperation.ClusterAction, AccessOperation.DescribeConfigs,
                AccessOperation.AlterConfigs, AccessOperation.IdempotentWrite }
            select (type, operation)];

    /// <inheritdoc/>
    public int Version { get; private set; }

    /// <summary>What is allowed; null: nothing.</summary>
    public (ResourceType Type, AccessOperation Operation)? Permission
    {
        get => _permission;
        set
        {
            _permission = value;
            Version++;
        }
    }

    /// <summary>What is allowed beside <see cref="Permission"/>; null: nothing.</summary>
    public (ResourceType Type, AccessOperation Operation)? Second
    {
        get => _second;
        set
        {
            _second = value;
            Version++;
        }
    }

    /// <summary>Whether everything is allowed, for a test's preparations.</summary>
    public bool AllowsAll
    {
        get => _allowsAll;
        set
        {
            _allowsAll = value;
            Version++;
        }
    }

    /// <inheritdoc/>
    public bool Allows(BrokerSession session, AccessOperation operation, ResourceType type, string name) =>
        AllowsAll || Permission == (type, operation) || Second == (type, operation);

    /// <inheritdoc/>
    public bool AllowsAny(BrokerSession session, AccessOperation operation, ResourceType type) => Allows(session, operation, type, "");
}
