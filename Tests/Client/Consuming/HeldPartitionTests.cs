using OrleansMq.Client;

namespace OrleansMq.Tests.Client.Consuming;

/// <summary>A partition that is held and released at any moment loses nothing and keeps its order.</summary>
public sealed class HeldPartitionTests : ConsumerFixture
{
    [Fact]
    public async Task Partition_held_and_released_at_any_record_keeps_its_order()
    {
        const int Count = 5000;
        var seed = Seeds.Next();
        var random = new Random(seed);
        await using (var producer = Client.CreateProducer<string, string>(new ProducerOptions { BatchSize = 1024 }))
        {
            for (var i = 0; i < Count; i++)
                await producer.EnqueueAsync(new(Topic, null!, $"{i}") { Partition = i % 2 });
        }
        Groups.FirstAssignment = [All(0, 1)];
        await using var consumer =
            Consume(Options() with { Reader = new ReaderOptions { MaxFetchBytes = 4096, PrefetchBytes = 16 << 10 } });
        var next = new[] { 0, 1 };
        for (var read = 0; read < Count; read++)
        {
            // A partition without remaining records cannot be waited for.
            if (next.Any(value => value >= Count))
                consumer.Resume(consumer.Paused);
            var record = await consumer.ReadAsync().SoonAsync();
            var partition = record.TopicPartition.Partition;
            Assert.True(record.Value == $"{next[partition]}",
                $"got {record.Value} instead of {next[partition]}; {Seeds.Replay(seed, nameof(HeldPartitionTests))}");
            next[partition] += 2;
            if (random.Next(3) > 0)
                continue;
            // Holds one partition, and never both permanently.
            var held = new TopicPartition(Topic, random.Next(2));
            consumer.Pause(held);
            if (random.Next(2) == 0)
                consumer.Resume(consumer.Paused);
            else
                consumer.Resume(new TopicPartition(Topic, 1 - held.Partition));
        }
    }
}
