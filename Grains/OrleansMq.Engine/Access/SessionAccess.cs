using System.Collections.Concurrent;
using OrleansMq.Api;
using OrleansMq.Partitions;
using OrleansMq.Producers;
using OrleansMq.Quotas;
using OrleansMq.Topics;

namespace OrleansMq.Access;

/// <summary>A replica on this broker's disk, whichever broker leads it.</summary>
/// <param name="TopicPartition">Topic and number.</param>
/// <param name="TopicId">The topic's id.</param>
/// <param name="SizeInBytes">Bytes of its segments' logs.</param>
/// <param name="LogEndOffset">The offset after its last record; -1 where the log could not be opened.</param>
internal readonly record struct HeldReplica(TopicPartition TopicPartition, Guid TopicId, long SizeInBytes, long LogEndOffset);

/// <summary>
/// A session's way into the broker: <see cref="Broker"/> for whole operations, <see cref="TryOpen"/> for direct appends and reads of a
/// partition that this process serves. Both authorize and count. Thread safe.
/// </summary>
public sealed class SessionAccess
{
    // A session that names more topics starts over: it decides again, which costs a look at the authorizer's memory.
    private const int MaxGrants = 10_000;

    private readonly BrokerAccess _access;
    // Only topics that exist: made-up names take no memory.
    private readonly ConcurrentDictionary<string, TopicGrant> _grants = new(concurrencyLevel: 1, capacity: 7, StringComparer.Ordinal);

    private readonly Func<bool>? _isValid;

    internal SessionAccess(BrokerAccess access, BrokerSession session, Func<bool>? isValid = null)
    {
        (_access, _isValid) = (access, isValid);
        Session = session;
        Subscriber = TopicSights.SubscriberOf(session);
        Quotas = session.Protocol == SessionProtocol.InProcess ? null : access.Quotas?.Of(session.Principal, session.ClientId);
        Pace = Quotas is not { } quotas ? null : session.Protocol switch
        {
            SessionProtocol.Http => new SessionPace(quotas),
            SessionProtocol.Orleans => new SessionPace(quotas, SessionPace.MostOfCall),
            _ => null,
        };
        Broker = Producer = new SessionBroker(access, this);
    }

    /// <summary>The caller.</summary>
    public BrokerSession Session { get; }

    /// <summary>The caller, as heartbeats carry it to the coordinator of a group.</summary>
    internal Subscriber Subscriber { get; }

    /// <summary>What the session may use; null: everything.</summary>
    internal ClientQuotas? Quotas { get; }

    /// <summary>Holds the session within its quotas; null where its gateway does so, or nothing does.</summary>
    internal SessionPace? Pace { get; }

    /// <summary>Holds the session within a quota; null where <see cref="Pace"/> is, or the quota limits nothing of it.</summary>
    internal SessionPace? PaceOf(QuotaKey key) => Pace is { } pace && !pace.IsFree(key) ? pace : null;

    /// <summary>The receives from queues that a quota paces on this broker.</summary>
    internal PacedReceives Receives => _access.Receives;

    /// <summary>The turn of the session's peeks into queues on this broker.</summary>
    internal PeekTurn Peeks => Session.Protocol == SessionProtocol.Http ? _access.HttpPeeks : _access.CallPeeks;

    /// <summary>Administration of quotas, as this session may use it.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.UnsupportedVersion"/>: this broker has none.</exception>
    internal SessionQuotas QuotaAdministration => _access.Quotas is { } quotas ? new SessionQuotas(this, quotas)
        : throw new BrokerException(ErrorCode.UnsupportedVersion, "This broker has no quotas.");

    /// <summary>The broker as this session may use it. A refused operation throws a <see cref="BrokerException"/> or returns the error of
    /// its resource, as other refusals of that operation do.</summary>
    public IBroker Broker { get; }

    /// <summary>The same, for whoever appends batches of memory that is scarce.</summary>
    internal SessionBroker Producer { get; }

    // An expired token, or a user that was deleted, lets nothing begin; a request that goes on ends with its next operation.
    private bool IsValid => _isValid is not { } isValid || isValid();

    /// <summary>Whether the session may perform an operation that it asks for. A refusal is counted and logged, and so is what rules would
    /// refuse.</summary>
    internal bool Authorizes(AccessOperation operation, ResourceType type, string name = ResourceTypes.Cluster)
    {
        if (Grants(operation, type, name))
            return true;
        _access.Denied(Session, operation, type, name);
        return false;
    }

    /// <summary>Whether the session may perform an operation that it asks for. What rules would refuse is counted and logged; a refusal is
    /// not.</summary>
    internal bool Grants(AccessOperation operation, ResourceType type, string name)
    {
        if (!Allows(operation, type, name))
            return false;
        _access.Allowed(Session, operation, type, name);
        return true;
    }

    /// <summary>Whether the session may perform an operation: for what it is shown, where it does not ask for the operation
    /// itself.</summary>
    public bool Allows(AccessOperation operation, ResourceType type, string name = ResourceTypes.Cluster) =>
        IsValid && (type == ResourceType.Topic && _grants.TryGetValue(name, out var grant)
            ? grant.Allows(operation)
            : _access.Allows(Session, operation, type, name));

    /// <summary>Whether the session may perform an operation on some resource of a kind.</summary>
    public bool AllowsAny(AccessOperation operation, ResourceType type) =>
        IsValid && _access.Authorizer.AllowsAny(Session, operation, type);

    /// <summary>Whether the session may create a topic of that name: by a grant of the cluster, or of the topic. A refusal is counted and
    /// logged.</summary>
    internal bool AuthorizesCreation(string topic) =>
        (Allows(AccessOperation.Create, ResourceType.Cluster) && !InternalTopics.IsInternal(topic)
                && !_access.WouldRefuse(Session, AccessOperation.Create, ResourceType.Cluster, ResourceTypes.Cluster))
            || Authorizes(AccessOperation.Create, ResourceType.Topic, topic);

    /// <summary>Places a partition that the session has just made by an authorized request, which named the brokers.</summary>
    internal ValueTask<PartitionReassignment> PlaceNewAsync(TopicPartition partition, IReadOnlyList<int> brokers,
        CancellationToken cancellationToken) =>
        _access.Broker.Administration.ReassignPartitionAsync(partition, brokers, cancellationToken);

    /// <summary>Refuses an operation that the session may not perform.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.TopicAuthorizationFailed"/>,
    /// <see cref="ErrorCode.GroupAuthorizationFailed"/>, <see cref="ErrorCode.ClusterAuthorizationFailed"/>.</exception>
    public void Demand(AccessOperation operation, ResourceType type, string name = ResourceTypes.Cluster)
    {
        if (!Authorizes(operation, type, name))
            throw new BrokerException(type.Refusal(), RefusalOf(operation, type, name));
    }

    /// <summary>Opens a partition that this process serves.</summary>
    /// <param name="partition">Topic and number.</param>
    /// <param name="topicId">The topic's id; empty where the request named no id.</param>
    /// <param name="operation">What the session is to do with it.</param>
    /// <param name="opened">The partition, open for that operation.</param>
    /// <param name="refusal"><see cref="ErrorCode.TopicAuthorizationFailed"/>, also where the partition is not here, so that a refusal
    /// does not reveal which topics exist; <see cref="ErrorCode.None"/> where it is allowed.</param>
    /// <returns>False: refused, or not served by this process.</returns>
    internal bool TryOpen(TopicPartition partition, Guid topicId, AccessOperation operation, out OpenedPartition opened,
        out ErrorCode refusal)
    {
        if (_access.TryGet(partition, topicId, out var found))
            return TryOpenServed(found, operation, out opened, out refusal);
        opened = default;
        refusal = Authorizes(operation, ResourceType.Topic, partition.Topic) ? ErrorCode.None : ErrorCode.TopicAuthorizationFailed;
        return false;
    }

    /// <summary>Opens a partition that this process serves for what an operator of the cluster does to any topic's
    /// (<see cref="AccessOperation.Alter"/>). It is not counted.</summary>
    /// <param name="partition">Topic and number.</param>
    /// <param name="topicId">The topic's id; empty where the request named no id.</param>
    /// <param name="opened">The partition.</param>
    /// <param name="refusal"><see cref="ErrorCode.ClusterAuthorizationFailed"/>, or <see cref="ErrorCode.TopicAuthorizationFailed"/> for an
    /// internal topic; <see cref="ErrorCode.None"/> where it is allowed.</param>
    /// <returns>False: refused, or not served by this process.</returns>
    internal bool TryOpenAsOperator(TopicPartition partition, Guid topicId, out OpenedPartition opened, out ErrorCode refusal)
    {
        opened = default;
        refusal = !Authorizes(AccessOperation.Alter, ResourceType.Cluster) ? ErrorCode.ClusterAuthorizationFailed
            : InternalTopics.IsInternal(partition.Topic) ? ErrorCode.TopicAuthorizationFailed : ErrorCode.None;
        if (refusal != ErrorCode.None || !_access.TryGet(partition, topicId, out var found))
            return false;
        opened = new OpenedPartition(found, grant: null, AccessOperation.Alter);
        return true;
    }

    /// <summary>Opens a partition that the caller serves.</summary>
    /// <param name="partition">The partition.</param>
    /// <param name="operation">What the session is to do with it.</param>
    /// <param name="opened">The partition, open for that operation.</param>
    /// <param name="refusal"><see cref="ErrorCode.TopicAuthorizationFailed"/> where it returns false.</param>
    internal bool TryOpenServed(Partition partition, AccessOperation operation, out OpenedPartition opened, out ErrorCode refusal)
    {
        var grant = GrantOf(partition.TopicPartition.Topic);
        if (!IsValid || !grant.Allows(operation))
        {
            _access.Denied(Session, operation, ResourceType.Topic, partition.TopicPartition.Topic);
            opened = default;
            refusal = ErrorCode.TopicAuthorizationFailed;
            return false;
        }
        _access.Allowed(Session, operation, ResourceType.Topic, partition.TopicPartition.Topic);
        opened = new OpenedPartition(partition, grant, operation);
        refusal = ErrorCode.None;
        return true;
    }

    /// <summary>The replicas on this broker's disk.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.ClusterAuthorizationFailed"/>.</exception>
    internal IReadOnlyList<HeldReplica> ListReplicas()
    {
        Demand(AccessOperation.Describe, ResourceType.Cluster);
        return [.. _access.Held.Select(static partition =>
            new HeldReplica(partition.TopicPartition, partition.TopicId, partition.SizeInBytes, partition.LogEndOffset))];
    }

    /// <summary>Appends a batch of a transaction. The transaction is verified for callers from outside.</summary>
    /// <param name="partition">The partition, which the session may write.</param>
    /// <param name="topicId">The topic's id; empty: it is looked up where it is needed.</param>
    /// <param name="producer">The batch's producer.</param>
    /// <param name="transaction">The transaction that the caller names.</param>
    /// <param name="append">Appends the batch with a verified transaction.</param>
    internal ValueTask<ProduceResult> AppendInTransactionAsync(TopicPartition partition, Guid topicId, ProducerIdentity producer,
        BatchTransaction transaction, Func<VerifiedTransaction, ValueTask<ProduceResult>> append) =>
        !Authorizes(AccessOperation.Write, ResourceType.TransactionalId, transaction.TransactionalId)
            ? new(ProduceResult.Failed(ErrorCode.TransactionalIdAuthorizationFailed,
                RefusalOf(AccessOperation.Write, ResourceType.TransactionalId, transaction.TransactionalId)))
        : TransactionDoor.Verifies(Session) ? _access.Transactions.AppendAsync(partition, topicId,
            _access.TryGet(partition, topicId, out var served) ? served : null, producer, transaction, append)
        : append(new VerifiedTransaction(transaction.Number));

    /// <summary>Refuses offsets of a transaction that a caller from outside names, and that the coordinator does not know so.</summary>
    /// <param name="request">The request.</param>
    /// <param name="groupId">The group that answers it.</param>
    /// <param name="cancellationToken">Cancels the question.</param>
    /// <returns>The request's own refusal; null where it may be sent.</returns>
    internal ValueTask<object?> RefusesAsync(IGroupRequest request, string groupId, CancellationToken cancellationToken) =>
        request is TransactionOffsetCommit commit && TransactionDoor.Verifies(Session)
            ? _access.Transactions.RefusesAsync(commit, groupId, cancellationToken) : default;

    /// <summary>Refuses a request to a group that the session may not send.</summary>
    /// <param name="request">The request.</param>
    /// <param name="groupId">The group that answers it.</param>
    /// <returns>The request's own refusal; null where it may be sent.</returns>
    internal object? Refuses(IGroupRequest request, string groupId)
    {
        if (!Authorizes(request.Operation, ResourceType.Group, groupId))
            return Refusal(request, request.Operation, ResourceType.Group, groupId);
        // The offsets are of the id's transaction.
        if (request is TransactionOffsetCommit { TransactionalId: var id }
            && !Authorizes(AccessOperation.Write, ResourceType.TransactionalId, id))
            return Refusal(request, AccessOperation.Write, ResourceType.TransactionalId, id);
        // The coordinator assigns topics on the member's behalf. It resolves a regular expression to those that the member may describe.
        var subscribed = request switch
        {
            ConsumerGroupHeartbeat heartbeat => heartbeat.SubscribedTopicNames,
            ShareGroupHeartbeat heartbeat => heartbeat.SubscribedTopicNames,
            _ => null,
        };
        if (subscribed?.FirstOrDefault(name => !Authorizes(AccessOperation.Describe, ResourceType.Topic, name)) is { } hidden)
            return Refusal(request, AccessOperation.Describe, ResourceType.Topic, hidden);
        return request is AlterShareGroup alter ? RefusesAlteration(alter, groupId) : null;
    }

    private object? RefusesAlteration(AlterShareGroup request, string groupId)
    {
        // The first was asked for already.
        foreach (var operation in request.Operations.Skip(1))
        {
            if (!Authorizes(operation, ResourceType.Group, groupId))
                return Refusal(request, operation, ResourceType.Group, groupId);
        }
        // Only an id names the topic, which may be any. The Kafka protocol has names, and asks for each.
        if (request.MovesAny && Session.Protocol != SessionProtocol.Kafka
            && !Authorizes(AccessOperation.Read, ResourceType.Topic, ResourceTypes.Every))
            return Refusal(request, AccessOperation.Read, ResourceType.Topic, ResourceTypes.Every);
        // The broker writes there from then on.
        return request.DeadLetterTopic is { } letters && !Authorizes(AccessOperation.Write, ResourceType.Topic, letters)
            ? Refusal(request, AccessOperation.Write, ResourceType.Topic, letters) : null;
    }

    /// <summary>Refuses a request to a transactional id that the session may not send. An operator aborts the transactions of
    /// others.</summary>
    /// <param name="request">The request.</param>
    /// <param name="transactionalId">The id that answers it.</param>
    /// <returns>The request's own refusal; null where it may be sent.</returns>
    internal object? Refuses(ITransactionRequest request, string transactionalId)
    {
        if (request is AbortTransaction)
            return Authorizes(AccessOperation.Alter, ResourceType.Cluster) ? null
                : Refusal(request, AccessOperation.Alter, ResourceType.Cluster, ResourceTypes.Cluster);
        if (!Authorizes(request.Operation, ResourceType.TransactionalId, transactionalId))
            return Refusal(request, request.Operation, ResourceType.TransactionalId, transactionalId);
        // Over the Kafka protocol the connection tells that a request comes late.
        if (request is EndTransaction { RaisesEpoch: false, Number: 0 }
            && Session.Protocol is SessionProtocol.Http or SessionProtocol.Orleans)
            return request.Refuse(ErrorCode.InvalidRequest, $"The end of a transaction of '{transactionalId}' has neither a number nor a "
                + "rising epoch: if it came late, it would end the next one. Give the number that adding to the transaction has answered, "
                + "or set raisesEpoch.");
        if (request is not AddToTransaction add)
            return null;
        foreach (var partition in add.Partitions)
        {
            if (!Authorizes(AccessOperation.Write, ResourceType.Topic, partition.Topic))
                return Refusal(request, AccessOperation.Write, ResourceType.Topic, partition.Topic);
        }
        foreach (var group in add.Groups)
        {
            if (!Authorizes(AccessOperation.Read, ResourceType.Group, group))
                return Refusal(request, AccessOperation.Read, ResourceType.Group, group);
        }
        return null;
    }

    /// <summary>Refuses partitions of which a caller names the topic and the id of another: the end of the transaction is written where the
    /// ids say, and the session was asked for what the names say.</summary>
    /// <param name="add">The request.</param>
    /// <param name="cancellationToken">Cancels the look-up.</param>
    /// <returns>The request's own refusal; null where it may be sent.</returns>
    internal async ValueTask<object?> RefusesAsync(AddToTransaction add, CancellationToken cancellationToken)
    {
        foreach (var topic in add.Partitions.GroupBy(static partition => partition.Topic))
        {
            try
            {
                // What is remembered may be of before the topic grew, or was created again.
                if (!AreOf(await _access.Broker.GetTopicAsync(topic.Key, cancellationToken).ConfigureAwait(false), topic)
                    && !AreOf(await _access.Broker.GetCurrentTopicAsync(topic.Key, cancellationToken).ConfigureAwait(false), topic))
                    return ((ICoordinatorRequest)add).Refuse(ErrorCode.UnknownTopicOrPartition,
                        $"'{topic.Key}' does not have the id, or a partition, that is named. If it was created again, look it up again.");
            }
            catch (BrokerException unknown)
            {
                return ((ICoordinatorRequest)add).Refuse(unknown.Code, unknown.Message);
            }
        }
        return null;
    }

    private static bool AreOf(TopicListing topic, IEnumerable<TransactionPartition> partitions) => partitions.All(partition =>
        partition.TopicId == topic.TopicId && (uint)partition.Partition < (uint)topic.Partitions);

    /// <summary>A transactional id as the session may see it: topics and groups that it may not describe are left out.</summary>
    internal TransactionDescription Seen(TransactionDescription transaction) => transaction with
    {
        Partitions = [.. transaction.Partitions.Where(one => Allows(AccessOperation.Describe, ResourceType.Topic, one.Topic))],
        Groups = [.. transaction.Groups.Where(group => Allows(AccessOperation.Describe, ResourceType.Group, group))],
    };

    private object Refusal(ICoordinatorRequest request, AccessOperation operation, ResourceType type, string name) =>
        request.Refuse(type.Refusal(), RefusalOf(operation, type, name));

    /// <summary>Logs what the session has changed of users, rules or quotas.</summary>
    internal void Audit(string change) => _access.Audit(Session, change);

    /// <summary>The message of a refusal.</summary>
    public string RefusalOf(AccessOperation operation, ResourceType type, string name = ResourceTypes.Cluster) =>
        !IsValid ? $"The credentials of {Session.Principal} are no longer valid: authenticate again." :
        type == ResourceType.Topic && InternalTopics.IsInternal(name) && !InternalTopics.Allows(operation)
            ? $"Topic '{name}' is internal: no client may {operation} it. Only brokers and silos write and read it."
            : $"{Session.Principal} may not {operation} {type} '{name}'. Have the operation allowed, or authenticate as another principal.";

    /// <summary>What was decided about a topic; null for one that was not seen to exist.</summary>
    internal TopicGrant? FindGrant(string topic) => _grants.GetValueOrDefault(topic);

    /// <summary>What was decided about a topic that exists.</summary>
    internal TopicGrant GrantOf(string topic)
    {
        if (_grants.TryGetValue(topic, out var known))
            return known;
        if (_grants.Count >= MaxGrants)
            _grants.Clear();
        return _grants.GetOrAdd(topic, new TopicGrant(_access, Session, Quotas, topic));
    }
}
