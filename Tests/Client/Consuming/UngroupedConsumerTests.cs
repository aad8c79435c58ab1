using OrleansMq.Api;
using OrleansMq.Client;

namespace OrleansMq.Tests.Client.Consuming;

/// <summary>Consumers without a group protocol: broadcast, and manually assigned partitions.</summary>
public sealed class UngroupedConsumerTests : ConsumerFixture
{
    private static ConsumerOptions Ungrouped { get; } = new() { AutoOffsetReset = AutoOffsetReset.Earliest };

    [Fact]
    public async Task Broadcast_consumers_each_read_every_record()
    {
        await SendAsync(0, "a");
        await SendAsync(2, "b");
        await using var first = Consume(Ungrouped with { Broadcast = true });
        await using var second = Consume(Ungrouped with { Broadcast = true });
        Assert.Equal(["a", "b"], (await ReadAsync(first, 2)).Order());
        Assert.Equal(["a", "b"], (await ReadAsync(second, 2)).Order());
        Assert.Empty(Groups.Heartbeats);
    }

    [Fact]
    public async Task Broadcast_consumer_reads_added_partitions_from_their_first_record()
    {
        await using var consumer = Consume(Ungrouped with { Broadcast = true, AutoOffsetReset = AutoOffsetReset.Latest,
            Reader = new ReaderOptions { TimeProvider = Clock } });
        await Wait.UntilAsync(() => consumer.Assignment.Count == 4, "the partitions");
        await Client.Admin.AddPartitionsAsync(Topic, 5);
        await SendAsync(4, "written before anybody looked");
        await Wait.UntilAsync(() => { Clock.Advance(TimeSpan.FromSeconds(30)); return consumer.Assignment.Count == 5; },
            "the new partition");
        Assert.Equal(["written before anybody looked"], await ReadAsync(consumer, 1));
    }

    [Fact]
    public async Task Broadcast_consumer_keeps_what_a_list_lacks_and_exists_and_gives_up_what_is_deleted()
    {
        var (lists, isOld) = (0, false);
        // An older list may be one from before the topic, or from before its last partitions.
        Broker.OnListTopics = () => (Interlocked.Increment(ref lists), Volatile.Read(ref isOld)) switch
        {
            (_, false) => null,
            var (number, _) => number % 2 == 0 ? [] : [new TopicListing(Topic, TopicId, 1)],
        };
        await SendAsync(0, "a");
        await SendAsync(3, "b");
        await using var consumer = Consume(Ungrouped with { Broadcast = true, Reader = new ReaderOptions { TimeProvider = Clock } });
        Assert.Equal(["a", "b"], (await ReadAsync(consumer, 2)).Order());
        Volatile.Write(ref isOld, true);
        await ListedAsync(4);
        Volatile.Write(ref isOld, false);
        await ListedAsync(2);
        await SendAsync(0, "c");
        Assert.Equal(["c"], await ReadAsync(consumer, 1));
        await SendAsync(3, "d");
        Assert.Equal(["d"], await ReadAsync(consumer, 1));
        await Client.Admin.DeleteTopicAsync(Topic);
        await Wait.UntilAsync(() => { Clock.Advance(TimeSpan.FromSeconds(30)); return consumer.Assignment.Count == 0; }, "the deletion");

        // The last of them may be looked at still; those before it are done.
        Task ListedAsync(int more)
        {
            var enough = Volatile.Read(ref lists) + more + 1;
            return Wait.UntilAsync(() => { Clock.Advance(TimeSpan.FromSeconds(30)); return Volatile.Read(ref lists) >= enough; }, "lists");
        }
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Broadcast_consumer_looks_for_a_missing_topic_less_and_less_often(bool isPattern)
    {
        var lists = 0;
        var asks = 0;
        Broker.OnListTopics = () => { Interlocked.Increment(ref lists); return null; };
        await using var consumer = Client.CreateConsumer<string, string>(Ungrouped with { Broadcast = true,
            MetadataMaxAge = TimeSpan.FromMinutes(5), Reader = new ReaderOptions { TimeProvider = Clock } });
        // The warning that a topic is missing is a look of its own, before the first of the member.
        Broker.OnGetTopic = topic => Interlocked.Increment(ref asks);
        if (isPattern)
            consumer.SubscribePattern("bills-.*");
        else
            consumer.Subscribe(Topic, "bills-1");
        var since = Clock.GetUtcNow();
        await Wait.UntilAsync(() => { Clock.Advance(TimeSpan.FromSeconds(1)); return Volatile.Read(ref lists) + asks >= 12; }, "the looks");
        Assert.InRange(Clock.GetUtcNow() - since, TimeSpan.FromMinutes(3), TimeSpan.FromDays(1));
        if (!isPattern)
            Assert.InRange(lists, 1, 5);
        await Client.Admin.CreateTopicAsync("bills-1", 1);
        await Wait.UntilAsync(() =>
        {
            Clock.Advance(TimeSpan.FromSeconds(1));
            return consumer.Assignment.Contains(new TopicPartition("bills-1", 0));
        }, "the topic");
    }

    [Fact]
    public async Task Manually_assigned_partitions_start_at_the_given_position()
    {
        await SendAsync(1, "a", "b", "c");
        await using var consumer = Client.CreateConsumer<string, string>(Ungrouped);
        consumer.Assign([P(1)], ReadFrom.Offset(1));
        Assert.Equal(["b", "c"], await ReadAsync(consumer, 2));
        consumer.Seek(P(1), ReadFrom.Earliest);
        Assert.Equal(["a", "b"], await ReadAsync(consumer, 2));
        Assert.Throws<InvalidOperationException>(() => consumer.Seek(P(0), ReadFrom.Earliest));
        Assert.Throws<InvalidOperationException>(() => consumer.Subscribe(Topic));
        consumer.Assign([P(0)]);
        Assert.Equal([P(0)], consumer.Assignment);
    }

    [Fact]
    public async Task Manually_assigned_partitions_may_commit_to_a_group()
    {
        await SendAsync(1, "a", "b", "c");
        await using (var consumer = Client.CreateConsumer<string, string>(Options()))
        {
            consumer.Assign([P(1)]);
            await ReadAsync(consumer, 2);
            await consumer.CommitAsync().SoonAsync();
        }
        Assert.Equal(("", -1), (Groups.Commits[0].MemberId, Groups.Commits[0].GenerationIdOrMemberEpoch));
        await using var next = Client.CreateConsumer<string, string>(Options());
        next.Assign([P(1)]);
        Assert.Equal(["c"], await ReadAsync(next, 1));
    }
}
