using System.Diagnostics.CodeAnalysis;
using OrleansMq.Api;
using OrleansMq.Clusters;
using OrleansMq.Diagnostics;
using OrleansMq.Grains.Transactions;
using OrleansMq.Partitions;
using OrleansMq.Topics;
using OrleansMq.Transactions;

namespace OrleansMq.Tests.Cluster.Transactions;

/// <summary>What a coordinator takes for the end of a transaction in a partition whose grain knows no such topic.</summary>
public sealed class GrainParticipantsTests
{
    private static readonly Guid TopicId = Guid.CreateVersion7(DateTimeOffset.UnixEpoch.AddDays(1));
    private static readonly TransactionPartition Partition = new("orders", 2, TopicId);

    private readonly Metadata _metadata = new();
    private ErrorCode _answer = ErrorCode.UnknownTopicId;
    private TopicState? _stored = Topic(TopicId);

    [Fact]
    public async Task Partition_of_a_stored_topic_is_told_again_although_the_image_lacks_the_topic()
    {
        _metadata.Image = ClusterImage.Empty with { Version = 7 };
        Assert.Equal(ParticipantOutcome.Retry, await EndAsync());
        _answer = ErrorCode.None;
        Assert.Equal(ParticipantOutcome.Done, await EndAsync());
    }

    [Fact]
    public async Task Partition_is_told_although_an_old_image_has_another_topic_with_a_later_id_under_the_name()
    {
        // A broker whose clock was ahead created the one, and it was deleted since.
        var earlier = Guid.CreateVersion7(DateTimeOffset.UnixEpoch.AddDays(2));
        _metadata.Image = (ClusterImage.Empty with { Version = 7 }).WithTopic(new ImageTopic("orders", earlier, TopicStatus.Active, 1,
            Topic(earlier).Configs, [], 3));
        Assert.Equal(ParticipantOutcome.Retry, await EndAsync());
    }

    [Fact]
    public async Task Transaction_has_ended_in_a_topic_whose_document_is_gone()
    {
        _stored = null;
        Assert.Equal(ParticipantOutcome.Done, await EndAsync());
    }

    [Fact]
    public async Task Transaction_has_ended_in_a_topic_whose_name_another_one_has()
    {
        _stored = Topic(Guid.CreateVersion7());
        Assert.Equal(ParticipantOutcome.Done, await EndAsync());
    }

    [Fact]
    public async Task Transaction_has_ended_in_a_partition_that_its_topic_never_had()
    {
        _stored = Topic(TopicId) with { Partitions = 2 };
        Assert.Equal(ParticipantOutcome.Done, await EndAsync());
        _stored = _stored with { GrowingTo = 3 };
        Assert.Equal(ParticipantOutcome.Retry, await EndAsync());
    }

    [Fact]
    public async Task Transaction_has_ended_in_a_topic_that_the_image_lists_as_deleted()
    {
        _metadata.Image = ClusterImage.Empty with { Version = 7, Deleted = [TopicId] };
        _answer = ErrorCode.LeaderNotAvailable;
        Assert.Equal(ParticipantOutcome.Done, await EndAsync());
    }

    private Task<ParticipantOutcome> EndAsync() => new GrainParticipants(MarkerGrains.Create(() => _answer), null!,
        new LeadsNothing(), _metadata, _ => Task.FromResult(_stored), EngineLog.Silent)
        .EndAsync(Partition, new TransactionEnd(new ProducerIdentity(1, 0), 1, 1, IsCommit: true, RaisesEpoch: true), default);

    private static TopicState Topic(Guid topicId) => new()
    {
        Name = "orders",
        TopicId = topicId,
        Partitions = 3,
        Status = TopicStatus.Active,
    };

    private sealed class Metadata : IClusterMetadata
    {
        public event Action<ClusterImage>? Changed
        {
            add { }
            remove { }
        }

        public ClusterImage Image { get; set; } = ClusterImage.Empty;

        public ClusterDescription Describe() => throw new NotSupportedException();

        public Task<ClusterImage> WaitForNewerAsync(long version, CancellationToken cancellationToken) => throw new NotSupportedException();
    }

    private sealed class LeadsNothing : ILocalPartitions
    {
        public IReadOnlyCollection<Partition> Held => [];

        public bool TryGet(TopicPartition partition, [NotNullWhen(true)] out Partition? found)
        {
            found = null;
            return false;
        }
    }
}
