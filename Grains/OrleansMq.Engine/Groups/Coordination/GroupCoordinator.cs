using OrleansMq.Api;
using OrleansMq.Clusters;
using OrleansMq.Coordination;
using OrleansMq.Diagnostics;
using OrleansMq.State;

namespace OrleansMq.Groups.Coordination;

/// <summary>One group's coordinator: a <see cref="GroupCore"/> in its shell, which follows the topics and the rules on them. Thread
/// safe.</summary>
internal sealed class GroupCoordinator : ICoordinator
{
    private readonly Lock _gate = new();
    private readonly Func<ITopicSight>? _sight;
    private readonly Func<ITransactionCoordinator>? _transactions;
    private readonly EngineLog _log;
    private Coordinator _shell = null!; // Set by OpenAsync.
    private GroupTopics _topics;

    private GroupCoordinator(string groupId, IClusterMetadata topics, Func<ITopicSight>? sight,
        Func<ITransactionCoordinator>? transactions, EngineLog log) =>
        (GroupId, _sight, _topics, _transactions, _log) =
            (groupId, sight, GroupTopics.Of(topics.Image, sight?.Invoke()), transactions, log);

    /// <summary>The group.</summary>
    public string GroupId { get; }

    /// <inheritdoc/>
    public bool IsClosed => _shell.IsClosed;

    /// <inheritdoc/>
    public bool IsVacant => _shell.IsVacant;

    /// <inheritdoc/>
    public event Action? Vacated
    {
        add => _shell.Vacated += value;
        remove => _shell.Vacated -= value;
    }

    /// <summary>Reads a group and takes it over. If documents of it are stored, its previous coordinator is deposed. All members get a full
    /// session.</summary>
    /// <param name="groupId">The group's id.</param>
    /// <param name="brokerId">The broker that opens it.</param>
    /// <param name="store">The store of its documents.</param>
    /// <param name="topics">The topics.</param>
    /// <param name="options">Limits and timeouts.</param>
    /// <param name="time">The clock.</param>
    /// <param name="log">The log.</param>
    /// <param name="sight">Returns which topics members may describe now; null: every member all of them.</param>
    /// <param name="transactions">The coordinators of transactions, which are asked for those that are in the way for long; null: none
    /// is.</param>
    /// <param name="cancellationToken">Cancels the read.</param>
    /// <exception cref="CorruptStateException">A document is damaged.</exception>
    public static async Task<GroupCoordinator> OpenAsync(string groupId, int brokerId, IStateStore store, IClusterMetadata topics,
        GroupOptions options, TimeProvider time, EngineLog log, Func<ITopicSight>? sight = null,
        Func<ITransactionCoordinator>? transactions = null, CancellationToken cancellationToken = default)
    {
        var group = new GroupCoordinator(groupId, topics, sight, transactions, log);
        group._shell = await Coordinator.OpenAsync(GroupDocuments.Kind, groupId, store,
            // The topics of after the read: what is stored may name topics that came during it.
            stored => new GroupCore(groupId, brokerId, options, group._topics = GroupTopics.Of(topics.Image, sight?.Invoke()),
                Guid.NewGuid(), (StoredGroup)stored, time.GetUtcNow()),
            time, log, group.PerformAsync, cancellationToken).ConfigureAwait(false);
        group._shell.Ended += () => topics.Changed -= group.OnTopicsChanged;
        topics.Changed += group.OnTopicsChanged;
        group.OnTopicsChanged(topics.Image);
        group._shell.Run();
        return group;
    }

    /// <inheritdoc cref="IGroupCoordinator.SendAsync"/>
    public async ValueTask<TResult> SendAsync<TResult>(IGroupRequest<TResult> request, CancellationToken cancellationToken = default) =>
        request.Answer(await AskAsync(request, cancellationToken).ConfigureAwait(false));

    /// <inheritdoc/>
    public ValueTask<object> AskAsync(ICoordinatorRequest body, CancellationToken cancellationToken = default)
    {
        // Rules tell no group that they have changed. Its members' heartbeats come often enough to look.
        if (body is ConsumerGroupHeartbeat)
            FollowRules();
        return _shell.AskAsync(body, cancellationToken);
    }

    /// <inheritdoc/>
    public ValueTask DisposeAsync() => _shell.DisposeAsync();

    private Task<CoordinatorCommand?> PerformAsync(CoordinatorEffect effect, CancellationToken closing) => effect is AskOfTransaction ask
        ? AskAsync(ask, closing) : throw new InvalidOperationException($"No effect of a group's coordinator: {effect}.");

    private async Task<CoordinatorCommand?> AskAsync(AskOfTransaction ask, CancellationToken closing)
    {
        if (_transactions is null)
            return null;
        try
        {
            return new TransactionTold(ask.ProducerId, ask.Number,
                await _transactions().SendAsync(new DescribeTransaction(ask.TransactionalId), closing).ConfigureAwait(false));
        }
        catch (BrokerException unknown) when (unknown.Code == ErrorCode.TransactionalIdNotFound)
        {
            return new TransactionTold(ask.ProducerId, ask.Number, Known: null);
        }
        catch (Exception failure) when (!closing.IsCancellationRequested) // Whatever it is: another request asks again.
        {
            _log.Write(EngineLogLevel.Debug, $"Group '{GroupId}': the coordinator of transactional id '{ask.TransactionalId}' did not "
                + "answer; it is asked again.", failure);
            return null;
        }
    }

    private void OnTopicsChanged(ClusterImage image)
    {
        lock (_gate)
        {
            if (image.Version < _topics.Version)
                return; // A newer image arrived before the one that the opening read.
            var topics = GroupTopics.Of(image, _sight?.Invoke());
            var isSame = topics.IsSameAs(_topics);
            _topics = topics; // Even if it is the same, so that all groups compare with the same image next time.
            if (isSame)
                return;
            _shell.Enqueue(new TopicsChanged(topics));
        }
        _shell.Run();
    }

    private void FollowRules()
    {
        if (_sight is null)
            return;
        lock (_gate)
        {
            var sight = _sight();
            if (!_topics.IsKnown || ReferenceEquals(sight, _topics.Sight))
                return;
            // Within the lock, so that the core learns of rules and topics in this order.
            _shell.Enqueue(new TopicsChanged(_topics = _topics.SeenBy(sight)));
        }
        _shell.Run();
    }
}
