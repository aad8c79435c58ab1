using OrleansMq.Partitions;

namespace OrleansMq.Tests.Engine.Partitions;

/// <summary>Whether a partition serves, and which refusal its callers get.</summary>
public sealed class PartitionAvailabilityTests
{
    private readonly PartitionAvailability _availability = new(new TopicPartition("orders", 3));

    [Fact]
    public void New_partition_serves()
    {
        Assert.True(_availability.IsServing);
        Assert.Equal((ErrorCode.None, ""), (_availability.Refuse(out var message), message));
    }

    [Fact]
    public void Offline_partition_reports_the_first_reason()
    {
        var fault = new IOException("bad sector");
        Assert.True(_availability.TryGoOffline("the disk is gone", fault));
        Assert.False(_availability.TryGoOffline("a later fault", new IOException("again")));
        Assert.Equal((ErrorCode.KafkaStorageError, "the disk is gone"), (_availability.Refuse(out var message), message));
        Assert.Same(fault, _availability.OfflineFault);
        Assert.False(_availability.IsServing);
    }

    [Fact]
    public void Partition_opened_offline_has_its_fault()
    {
        var fault = new InvalidDataException("damaged");
        var availability = new PartitionAvailability(new TopicPartition("orders", 3), "damaged at byte 7", fault);
        Assert.Equal((ErrorCode.KafkaStorageError, "damaged at byte 7"), (availability.Refuse(out var message), message));
        Assert.Same(fault, availability.OfflineFault);
        Assert.False(availability.TryGoOffline("another", null));
    }

    [Fact]
    public void Closed_partition_refuses_new_appends_and_writes_queued_ones()
    {
        _availability.Close();
        Assert.Equal(ErrorCode.NotLeaderOrFollower, _availability.Refuse(out _));
        Assert.Equal(ErrorCode.None, _availability.RefuseQueued(out _));
        Assert.False(_availability.IsServing);
    }

    [Fact]
    public void Queued_appends_of_an_offline_or_deleted_partition_are_refused()
    {
        _availability.Close();
        _availability.TryGoOffline("the disk is gone", null);
        Assert.Equal(ErrorCode.KafkaStorageError, _availability.RefuseQueued(out _));
        _availability.Delete();
        Assert.Equal(ErrorCode.UnknownTopicOrPartition, _availability.RefuseQueued(out _));
    }

    [Fact]
    public void Deletion_is_reported_before_the_storage_and_the_storage_before_the_shutdown()
    {
        _availability.Close();
        Assert.Equal(ErrorCode.NotLeaderOrFollower, _availability.Refuse(out _));
        _availability.TryGoOffline("the disk is gone", null);
        Assert.Equal(ErrorCode.KafkaStorageError, _availability.Refuse(out _));
        _availability.Delete();
        Assert.Equal(ErrorCode.UnknownTopicOrPartition, _availability.Refuse(out var message));
        Assert.Equal("The topic 'orders' was deleted.", message);
    }
}
