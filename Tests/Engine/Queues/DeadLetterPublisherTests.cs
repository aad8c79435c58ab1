using System.Text;
using OrleansMq.Api;
using OrleansMq.Brokers;
using OrleansMq.Diagnostics;
using OrleansMq.Partitions.Cursors;
using OrleansMq.Queues;
using OrleansMq.Records;
using OrleansMq.Storage;
using OrleansMq.Tests.Engine.Partitions;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Engine.Queues;

/// <summary>
/// A model of leaders that follow each other at a source, over a real target: calls that fail, answers that are lost, calls that arrive
/// late, and leaders that do not know that they were replaced. Each letter is in the target once, in order.
/// </summary>
public sealed class DeadLetterPublisherTests
{
    private const int Seeds = 150;

    [Fact]
    public async Task Letter_is_in_the_target_once_whatever_leaders_and_calls_do()
    {
        await using var broker = await LocalBroker.OpenAsync(
            new BrokerOptions { DataDirectory = "/data", FileSystem = new MemoryFileSystem() });
        for (var seed = 0; seed < Seeds; seed++)
            await RunAsync(broker, seed);
    }

    [Fact]
    public async Task Topic_that_was_created_again_under_the_name_gets_no_letter_of_its_predecessor()
    {
        await using var broker = await LocalBroker.OpenAsync(
            new BrokerOptions { DataDirectory = "/data", FileSystem = new MemoryFileSystem() });
        var before = await broker.CreateTopicAsync(new NewTopic("letters", 1));
        var port = new DeadLetterPublisher(() => new RemembersTopic(broker, before.TopicId), CompressionCodecs.Empty, EngineLog.Silent,
            TimeProvider.System);
        var intent = new DeadLetterIntent(0, Guid.NewGuid(), 5, new DeadLetterTarget(before.TopicId, 0), SettlementCause.Rejected,
            new(1, 0), 0);
        var letter = new DeadLetter(intent, new OrleansMq.Records.Record { Value = "x"u8.ToArray() });
        await broker.DeleteTopicAsync("letters");
        await broker.CreateTopicAsync(new NewTopic("letters", 1));
        var result = await port.PublishAsync(new DeadLetterSource(new TopicPartition("source", 0), Guid.NewGuid(), "queue/work", "letters"),
            intent.Target, [letter], CancellationToken.None);
        Assert.Equal(DeadLetterOutcome.TargetGone, result.Outcome);
        Assert.Equal(0, (await broker.FindOffsetAsync(new TopicPartition("letters", 0), OffsetSpec.Latest)).Offset);
    }

    [Fact]
    public async Task Letters_of_a_deleted_topic_wait_for_one_of_its_name_and_are_dropped_after_a_while()
    {
        var clock = new ManualClock();
        await using var broker = await LocalBroker.OpenAsync(
            new BrokerOptions { DataDirectory = "/data", FileSystem = new MemoryFileSystem() });
        var before = await broker.CreateTopicAsync(new NewTopic("letters", 1));
        var port = new DeadLetterPublisher(() => broker, CompressionCodecs.Empty, EngineLog.Silent, clock);
        var source = new DeadLetterSource(new TopicPartition("source", 3), Guid.NewGuid(), "queue/work", "letters", "letters");
        await broker.DeleteTopicAsync("letters");
        Assert.Contains("'letters' was deleted", (await Assert.ThrowsAsync<BrokerException>(PublishAsync)).Message);
        clock.Advance(TimeSpan.FromSeconds(59));
        await Assert.ThrowsAsync<BrokerException>(PublishAsync);
        clock.Advance(TimeSpan.FromSeconds(1));
        Assert.Equal(DeadLetterOutcome.TargetGone, (await PublishAsync()).Outcome);
        await broker.CreateTopicAsync(new NewTopic("letters", 2));
        for (var repetition = 0; repetition < 2; repetition++)
            Assert.Equal(DeadLetterOutcome.Published, (await PublishAsync()).Outcome);
        Assert.Equal(1, (await broker.FindOffsetAsync(new TopicPartition("letters", 1), OffsetSpec.Latest)).Offset);

        Task<DeadLetterResult> PublishAsync()
        {
            var intent = new DeadLetterIntent(7, before.TopicId, 5, new DeadLetterTarget(before.TopicId, 0), SettlementCause.Rejected,
                new(1, 0), 0);
            return port.PublishAsync(source, intent.Target,
                [new DeadLetter(intent, new OrleansMq.Records.Record { Value = "x"u8.ToArray() })], CancellationToken.None);
        }
    }

    [Fact]
    public async Task Letters_of_a_deleted_topic_go_to_another_one_that_their_queue_is_given()
    {
        var clock = new ManualClock();
        await using var broker = await LocalBroker.OpenAsync(
            new BrokerOptions { DataDirectory = "/data", FileSystem = new MemoryFileSystem() });
        await broker.CreateTopicAsync(new NewTopic("others", 1));
        var port = new DeadLetterPublisher(() => broker, CompressionCodecs.Empty, EngineLog.Silent, clock);
        var intent = new DeadLetterIntent(7, Guid.NewGuid(), 5, new DeadLetterTarget(Guid.NewGuid(), 0), SettlementCause.Rejected,
            new(1, 0), 0);
        // The queue does not name the deleted topic any more, so that its list alone tells of it.
        await Assert.ThrowsAsync<BrokerException>(PublishAsync);
        clock.Advance(TimeSpan.FromMinutes(1));
        Assert.Equal(DeadLetterOutcome.Published, (await PublishAsync()).Outcome);
        Assert.Equal(1, (await broker.FindOffsetAsync(new TopicPartition("others", 0), OffsetSpec.Latest)).Offset);

        Task<DeadLetterResult> PublishAsync() => port.PublishAsync(
            new DeadLetterSource(new TopicPartition("source", 0), Guid.NewGuid(), "queue/work", null, "others"), intent.Target,
            [new DeadLetter(intent, new OrleansMq.Records.Record { Value = "x"u8.ToArray() })], CancellationToken.None);
    }

    private sealed class RemembersTopic(IBroker broker, Guid topicId) : ForwardingBroker(broker)
    {
        public override async ValueTask<TopicListing> GetTopicAsync(string topic, CancellationToken cancellationToken = default) =>
            await base.GetTopicAsync(topic, cancellationToken) with { TopicId = topicId };
    }

    private static async Task RunAsync(LocalBroker broker, int seed)
    {
        var random = new Random(seed);
        var topic = await broker.CreateTopicAsync(new NewTopic($"letters-{seed}", 1));
        var target = new DeadLetterTarget(topic.TopicId, 0);
        var source = new DeadLetterSource(new TopicPartition("source", 5), Guid.NewGuid(), "queue/work", topic.Name);
        var (incarnation, first) = (Guid.NewGuid(), random.Next(2) == 0 ? 0 : int.MaxValue - 20L);
        // The log of the source: intents in force, and up to where they are finished in force. Some go to another target.
        var intents = new List<DeadLetterIntent>();
        var finished = 0;
        var network = new LateCalls(broker, random);
        var leaders = new List<Leader>();
        for (var step = 0; step < 120; step++)
        {
            if (step % 3 == 0)
            {
                for (var count = random.Next(4); count > 0; count--)
                    intents.Add(new DeadLetterIntent(first + intents.Count, incarnation, 1_000 + intents.Count,
                        random.Next(6) == 0 ? target with { Partition = 1 } : target, SettlementCause.Rejected, new(1, 0), 0));
            }
            if (leaders.Count == 0 || random.Next(15) == 0)
            {
                var port = new DeadLetterPublisher(() => network, CompressionCodecs.Empty, EngineLog.Silent, TimeProvider.System);
                leaders.Add(new Leader(port) { Next = finished });
            }
            // The newest mostly; an earlier one knows no later intents.
            leaders[^1].Known = intents.Count;
            var leader = random.Next(3) > 0 ? leaders[^1] : leaders[random.Next(leaders.Count)];
            await leader.PublishAsync(source, target, intents, random.Next(1, 9));
            // What it finished is in force a while later, if it still leads.
            if (leader == leaders[^1] && random.Next(2) == 0)
                finished = leader.Next;
            await network.DeliverSomeAsync();
        }
        network.IsFaulty = false;
        while (leaders[^1].Next < intents.Count)
        {
            leaders[^1].Known = intents.Count;
            await leaders[^1].PublishAsync(source, target, intents, 5);
        }
        await network.DeliverAllAsync();
        using var read = await broker.FetchAsync(new FetchRequest(new TopicPartition(topic.Name, 0), 0) { MaxBytes = 10 << 20 });
        Assert.Equal(intents.Where(intent => intent.Target == target).Select(intent => $"{intent.Offset}"),
            TestBatches.Read(read.Records).Select(letter => letter.Value));
    }

    private sealed class Leader(DeadLetterPublisher port)
    {
        public int Next { get; set; }

        public int Known { get; set; }

        public async Task PublishAsync(DeadLetterSource source, DeadLetterTarget target, List<DeadLetterIntent> intents, int most)
        {
            // Those for the other target are published there.
            while (Next < Known && intents[Next].Target != target)
                Next++;
            var letters = intents.Take(Known).Skip(Next).TakeWhile(intent => intent.Target == target).Take(most).Select(intent =>
                new DeadLetter(intent, new OrleansMq.Records.Record { Value = Encoding.UTF8.GetBytes($"{intent.Offset}") })).ToList();
            if (letters.Count == 0)
                return;
            try
            {
                var result = await port.PublishAsync(source, target, letters, CancellationToken.None);
                Assert.Equal(DeadLetterOutcome.Published, result.Outcome);
                Next += letters.Count;
            }
            catch (BrokerException failed)
            {
                Assert.Equal(ErrorCode.RequestTimedOut, failed.Code);
            }
        }
    }

    private sealed class LateCalls(IBroker broker, Random random) : ForwardingBroker(broker)
    {
        private readonly List<(TopicPartition Partition, byte[] Batch)> _late = [];

        public bool IsFaulty { get; set; } = true;

        public override async ValueTask<ProduceResult> ProduceAsync(TopicPartition partition, Memory<byte> batch, Acks acks,
            CancellationToken cancellationToken = default)
        {
            Assert.Equal(Acks.All, acks);
            var fate = IsFaulty ? random.Next(6) : 5;
            if (fate == 0)
                _late.Add((partition, batch.ToArray()));
            if (fate <= 1)
                return ProduceResult.Failed(ErrorCode.RequestTimedOut, "The call was lost.");
            var result = await base.ProduceAsync(partition, batch, acks, cancellationToken);
            return fate == 2 ? ProduceResult.Failed(ErrorCode.RequestTimedOut, "The answer was lost.") : result;
        }

        public async Task DeliverSomeAsync()
        {
            if (_late.Count > 0 && random.Next(4) == 0)
                await DeliverAsync(random.Next(_late.Count));
        }

        public async Task DeliverAllAsync()
        {
            while (_late.Count > 0)
                await DeliverAsync(0);
        }

        private async Task DeliverAsync(int index)
        {
            var (partition, batch) = _late[index];
            _late.RemoveAt(index);
            await base.ProduceAsync(partition, batch, Acks.All);
        }
    }
}
