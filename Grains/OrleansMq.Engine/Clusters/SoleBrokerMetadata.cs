using System.Collections.Immutable;
using OrleansMq.Api;
using OrleansMq.Topics;

namespace OrleansMq.Clusters;

/// <summary>The image of a cluster with one broker and no replication. The broker leads every partition, and topic changes are reported
/// here. Thread-safe.</summary>
internal sealed class SoleBrokerMetadata : IClusterMetadata
{
    // Claims are counted from 0. Without further claims the epoch stays there.
    private const int LeaderEpoch = 0;

    private readonly Lock _lock = new();
    private readonly Func<ClusterDescription> _describe;
    private readonly int _self;
    private volatile ClusterImage _image;
    private TaskCompletionSource _newer = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <param name="self">The broker; its addresses may be set later with <see cref="Register"/>.</param>
    /// <param name="describe">Describes the broker for the broker API.</param>
    public SoleBrokerMetadata(BrokerRegistration self, Func<ClusterDescription> describe)
    {
        _describe = describe;
        _self = self.BrokerId;
        _image = ClusterImage.Empty with
        {
            Version = ClusterImage.FirstVersion(epoch: 1),
            Controller = self.BrokerId,
            Brokers = ClusterImage.Empty.Brokers.Add(self.BrokerId, new ImageBroker(self, IsAlive: true)),
        };
    }

    /// <inheritdoc/>
    public event Action<ClusterImage>? Changed;

    /// <inheritdoc/>
    public ClusterImage Image => _image;

    /// <inheritdoc/>
    public ClusterDescription Describe() => _describe();

    /// <inheritdoc/>
    public async Task<ClusterImage> WaitForNewerAsync(long version, CancellationToken cancellationToken)
    {
        while (true)
        {
            Task newer;
            lock (_lock)
            {
                if (_image.Version > version)
                    return _image;
                newer = _newer.Task;
            }
            await newer.WaitAsync(cancellationToken).ConfigureAwait(false);
        }
    }

    /// <summary>Replaces the broker's registration, for example after a listener was opened.</summary>
    public void Register(BrokerRegistration self) =>
        Take(image => image with { Brokers = image.Brokers.SetItem(_self, new ImageBroker(self, IsAlive: true)) });

    /// <summary>Adds or updates a topic with its configuration and partitions.</summary>
    /// <param name="topic">Its document.</param>
    /// <param name="isHere">Whether a partition is present and can be served; otherwise it has no leader.</param>
    public void Set(TopicState topic, Func<int, bool> isHere)
    {
        ImmutableArray<int> self = [_self];
        var partitions = ImmutableArray.CreateBuilder<ImagePartition>(topic.Partitions);
        for (var number = 0; number < topic.Partitions; number++)
        {
            var here = isHere(number);
            partitions.Add(new ImagePartition(here ? _self : -1, LeaderEpoch, self, here ? self : [], [], []));
        }
        Take(image => image.WithTopic(new ImageTopic(topic.Name, topic.TopicId, TopicStatus.Active, topic.ReplicationFactor, topic.Configs,
            partitions.MoveToImmutable(), topic.Partitions)));
    }

    /// <summary>Removes a topic. The deletion is remembered as long as the process runs, so that later readers of the image see it
    /// too.</summary>
    public void Remove(Guid topicId) => Take(image => image.WithoutTopic(topicId) with { Deleted = image.Deleted.Add(topicId) });

    private void Take(Func<ClusterImage, ClusterImage> change)
    {
        lock (_lock)
        {
            var next = change(_image);
            if (ReferenceEquals(next, _image))
                return;
            _image = next with { Version = _image.Version + 1 };
            Changed?.Invoke(_image);
            _newer.TrySetResult();
            _newer = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        }
    }
}
