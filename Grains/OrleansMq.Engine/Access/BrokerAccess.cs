using System.Diagnostics.CodeAnalysis;
using OrleansMq.Api;
using OrleansMq.Diagnostics;
using OrleansMq.Partitions;
using OrleansMq.Quotas;
using OrleansMq.Topics;

namespace OrleansMq.Access;

/// <summary>What clients and gateways may know of a partition that this process serves, without reading it.</summary>
/// <param name="LeaderEpoch">The epoch that its appends are stamped with.</param>
/// <param name="IsOnline">Whether it serves.</param>
/// <param name="Decompresses">Whether an append of a compressed batch decompresses it, which takes a while.</param>
internal readonly record struct LocalPartition(int LeaderEpoch, bool IsOnline, bool Decompresses);

/// <summary>
/// The one door to a broker: partitions, groups, topics and the cluster. Every caller opens a session here: HTTP, the Kafka gateway, the
/// public grains, and code in the broker's process. Through a session every operation is authorized first and counted afterwards.
/// <para>A record is counted once, on the broker that serves the client's request. That is the broker that a gateway runs on, also where
/// another broker leads the partition. For an Orleans client it is the partition's leader, since the client calls its grain. A broker that
/// forwards a request to the leader uses an interface between silos, which counts nothing.</para>
/// <para>Requests for topics that do not exist are not counted, nor are requests that the authorizer refuses.</para>
/// </summary>
public sealed class BrokerAccess
{
    private readonly ILocalPartitions? _local;
    private readonly RareLine _faultyListeners;
    private readonly DenialLog _denials;
    private readonly IDryRun? _dryRun;
    private readonly EngineLog _log;

    /// <param name="broker">The engine behind the door.</param>
    /// <param name="local">The partitions that this process serves; null: none are opened directly.</param>
    /// <param name="authorizer">Decides; null: <see cref="AllowAll"/>.</param>
    /// <param name="meter">Counts; null: a new one.</param>
    /// <param name="log">Receives refused operations and changes of users, rules and quotas, and names listeners to the meter that throw;
    /// null: nothing does.</param>
    /// <param name="quotas">What clients may use; null: there are no quotas.</param>
    internal BrokerAccess(IBroker broker, ILocalPartitions? local = null, IAuthorizer? authorizer = null, AccessMeter? meter = null,
        EngineLog? log = null, BrokerQuotas? quotas = null)
    {
        ArgumentNullException.ThrowIfNull(broker);
        Broker = broker;
        _local = local;
        Authorizer = authorizer ?? AllowAll.Instance;
        _dryRun = authorizer is IDryRun { OnlyWarns: true } dryRun ? dryRun : null;
        Meter = meter ?? new AccessMeter();
        Quotas = quotas;
        Transactions = new TransactionDoor(broker);
        _log = log ?? EngineLog.Silent;
        _faultyListeners = new RareLine(_log, TimeProvider.System);
        _denials = new DenialLog(_log, TimeProvider.System);
    }

    /// <summary>Decides what sessions may do.</summary>
    public IAuthorizer Authorizer { get; }

    /// <summary>Counts what sessions do.</summary>
    internal AccessMeter Meter { get; }

    /// <summary>What clients may use; null for a broker without quotas.</summary>
    internal BrokerQuotas? Quotas { get; }

    internal IBroker Broker { get; }

    /// <summary>The receives from queues that a quota paces here.</summary>
    internal PacedReceives Receives { get; } = new();

    /// <summary>The turn of HTTP clients' peeks into queues, which may wait for leaders on other brokers.</summary>
    internal PeekTurn HttpPeeks { get; } = new(TimeProvider.System);

    /// <summary>The turn of peeks into queues by grain calls, which read partitions that are led here.</summary>
    internal PeekTurn CallPeeks { get; } = new(TimeProvider.System);

    /// <summary>Verifies the transactions that callers from outside name.</summary>
    internal TransactionDoor Transactions { get; }

    /// <summary>Whether a session may perform an operation. No grant covers more than the description of internal topics.</summary>
    internal bool Allows(BrokerSession session, AccessOperation operation, ResourceType type, string name) =>
        (type != ResourceType.Topic || !InternalTopics.IsInternal(name) || InternalTopics.Allows(operation))
            && Authorizer.Allows(session, operation, type, name);

    /// <summary>Counts and logs an operation that is refused.</summary>
    internal void Denied(BrokerSession session, AccessOperation operation, ResourceType type, string name)
    {
        Meter.Denials.Denied(operation, type);
        _denials.Write(session, operation, type, name);
    }

    /// <summary>Whether an operation is allowed only since authorization warns.</summary>
    internal bool WouldRefuse(BrokerSession session, AccessOperation operation, ResourceType type, string name) =>
        _dryRun is not null && _dryRun.WouldRefuse(session, operation, type, name);

    /// <summary>Counts and logs an operation that is allowed, if it is so only since authorization warns.</summary>
    internal void Allowed(BrokerSession session, AccessOperation operation, ResourceType type, string name)
    {
        if (!WouldRefuse(session, operation, type, name))
            return;
        Meter.Denials.Warned(operation, type);
        _denials.Write(session, operation, type, name, isAllowed: true);
    }

    /// <summary>Logs what a session has changed of users, rules or quotas, for who audits a broker.</summary>
    internal void Audit(BrokerSession session, string change) => _log.Write(EngineLogLevel.Information,
        $"{LoggedText.Of(session.Principal)} at '{LoggedText.Of(session.Host)}' ({session.Protocol}) {change}");

    internal IReadOnlyCollection<Partition> Held => _local?.Held ?? [];

    /// <summary>Opens a session. It lasts as long as its connection, and remembers decisions about topics.</summary>
    public SessionAccess Open(BrokerSession session) => new(this, session);

    /// <summary>Opens a session whose credentials may end while a request goes on.</summary>
    /// <param name="session">The caller.</param>
    /// <param name="isValid">Whether the credentials are good: no longer once it returns false. Called for each decision. Null: for
    /// ever.</param>
    internal SessionAccess Open(BrokerSession session, Func<bool>? isValid) => new(this, session, isValid);

    /// <summary>What is known here of a partition that this process serves. For the metadata that gateways answer with, and their choice
    /// of a thread: it is neither authorized nor counted.</summary>
    /// <param name="partition">Topic and number.</param>
    /// <param name="topicId">The topic's id; empty where only its name is known.</param>
    /// <param name="found">The partition.</param>
    internal bool TryDescribe(TopicPartition partition, Guid topicId, out LocalPartition found)
    {
        if (!TryGet(partition, topicId, out var local))
        {
            found = default;
            return false;
        }
        found = new LocalPartition(local.LeaderEpoch, local.OfflineReason is null, local.Decompresses);
        return true;
    }

    /// <summary>Counts a request to a group that was answered. A listener to the meter is code of the application: what it throws is no
    /// failure of the request.</summary>
    internal void Count(IGroupRequest request, object answer, TimeSpan duration)
    {
        try
        {
            CountAnswered(request, answer, duration);
        }
        catch (Exception fault)
        {
            _faultyListeners.Write(EngineLogLevel.Warning, $"A listener to the metrics of group requests threw: {fault.Message}", fault);
        }
    }

    private void CountAnswered(IGroupRequest request, object answer, TimeSpan duration)
    {
        if (answer is OffsetCommitResult { Partitions.Count: > 0 } commit)
            Meter.Commits.Committed(commit.Partitions.Any(static partition => partition.Error == ErrorCode.None), duration);
        else if (request is DeleteGroup && answer is GroupReply { Error: ErrorCode.None })
            Meter.Forget(request.GroupId);
    }

    internal bool TryGet(TopicPartition partition, Guid topicId, [NotNullWhen(true)] out Partition? found)
    {
        found = null;
        return _local is not null && _local.TryGet(partition, out found) && (topicId == Guid.Empty || found.TopicId == topicId);
    }
}
