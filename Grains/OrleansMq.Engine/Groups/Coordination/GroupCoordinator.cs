using OrleansMq.Api;
using OrleansMq.Clusters;
using OrleansMq.Coordination;
using OrleansMq.Diagnostics;
using OrleansMq.State;

namespace OrleansMq.Groups.Coordination;

/// <summary>One group's coordinator: a <see cref="GroupCore"/> in its shell, which follows the topics. Thread safe.</summary>
internal sealed class GroupCoordinator : ICoordinator
{
    private readonly Lock _gate = new();
    private readonly IClusterMetadata _metadata;
    private Coordinator _shell = null!; // Set by OpenAsync.
    private GroupTopics _topics;

    private GroupCoordinator(string groupId, IClusterMetadata topics) =>
        (GroupId, _metadata, _topics) = (groupId, topics, GroupTopics.Of(topics.Image));

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
    /// <param name="cancellationToken">Cancels the read.</param>
    /// <exception cref="CorruptStateException">A document is damaged.</exception>
    public static async Task<GroupCoordinator> OpenAsync(string groupId, int brokerId, IStateStore store, IClusterMetadata topics,
        GroupOptions options, TimeProvider time, EngineLog log, CancellationToken cancellationToken = default)
    {
        var group = new GroupCoordinator(groupId, topics);
        group._shell = await Coordinator.OpenAsync(GroupDocuments.Kind, groupId, store,
            // The topics of after the read: what is stored may name topics that came during it.
            stored => new GroupCore(groupId, brokerId, options, group._topics = GroupTopics.Of(topics.Image), Guid.NewGuid(),
                (StoredGroup)stored, time.GetUtcNow()),
            time, log, cancellationToken: cancellationToken).ConfigureAwait(false);
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
    public ValueTask<object> AskAsync(ICoordinatorRequest body, CancellationToken cancellationToken = default) =>
        _shell.AskAsync(body, cancellationToken);

    /// <inheritdoc/>
    public ValueTask DisposeAsync() => _shell.DisposeAsync();

    private void OnTopicsChanged(ClusterImage image)
    {
        var topics = GroupTopics.Of(image);
        lock (_gate)
        {
            if (topics.Version < _topics.Version)
                return; // A newer image arrived before the one that the opening read.
            var isSame = topics.IsSameAs(_topics);
            _topics = topics; // Even if it is the same, so that all groups compare with the same image next time.
            if (isSame)
                return;
        }
        _shell.Post(new TopicsChanged(topics));
    }
}
