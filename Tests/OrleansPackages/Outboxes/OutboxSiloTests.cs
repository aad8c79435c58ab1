using System.Collections.Concurrent;
using System.Globalization;
using Microsoft.Extensions.DependencyInjection;
using Orleans.TestingHost;
using OrleansMq.Api;
using OrleansMq.Client;
using OrleansMq.Outboxes;

namespace OrleansMq.Tests.OrleansPackages.Outboxes;

/// <summary>Outboxes of grains on one silo: what clients and other calls cannot do to them.</summary>
public sealed class OutboxSiloTests : IAsyncLifetime, IDisposable
{
    private readonly TempDirectory _data = new();
    private readonly TestStorage _storage = new();
    private readonly ConcurrentDictionary<string, Func<Task>> _beforeSend = [];
    private TestSilo _silo = null!;
    private OrleansMqClient _client = null!;

    public async Task InitializeAsync()
    {
        _silo = await TestSilo.StartAsync(_data.Path, silo =>
        {
            _storage.AddTo(silo);
            silo.AddOrleansMqOutbox(options => options with
            {
                WakeUpDelay = TimeSpan.FromSeconds(1),
                CleanUpDelay = TimeSpan.Zero,
                DeactivationTimeout = TimeSpan.FromSeconds(1),
                FlushTimeout = TimeSpan.FromSeconds(10),
                MaxRecordAge = TimeSpan.FromSeconds(3),
                BeforeSend = (grain, _) => _beforeSend.TryGetValue(grain.Key.ToString()!, out var hook) ? hook() : Task.CompletedTask,
            });
        });
        _client = new OrleansMqClient(_silo.Outside);
    }

    public async Task DisposeAsync() => await _silo.DisposeAsync();

    public void Dispose() => _data.Dispose();

    [Fact]
    public async Task Silo_that_is_no_broker_does_not_start()
    {
        var builder = new InProcessTestClusterBuilder(1);
        builder.ConfigureSilo((_, silo) =>
        {
            new TestStorage().AddTo(silo);
            silo.AddOrleansMqOutbox();
        });
        await using var cluster = builder.Build();
        var refused = await Assert.ThrowsAnyAsync<Exception>(cluster.DeployAsync);
        Assert.Contains("silo.AddOrleansMq()", refused.ToString());
    }

    [Fact]
    public async Task Client_that_reads_a_message_cannot_foretell_the_id_of_the_next_one()
    {
        await CreateAsync("foretold", ("dedupe.window.ms", "3600000"));
        var grain = Ledger("foretold-1");
        await grain.BookAsync("foretold", 0);
        await grain.FlushAsync();
        var id = (await RecordsAsync("foretold"))[0].Headers.Single(static header => header.Name() == OutboxHeaders.MessageId).TextValue()!;
        await using var producer = _client.CreateProducer<string, string>();
        for (var next = 1; next < 4; next++)
        {
            await producer.SendAsync(new ProducerRecord<string, string>("foretold", "x", $"{100 + next}")
            {
                MessageId = $"{id.Split('-')[0]}-{next}",
            });
        }
        await grain.BookAsync("foretold", 1);
        await grain.FlushAsync();
        Assert.Contains(1, await ReadAsync("foretold"));
    }

    [Fact]
    public async Task Message_that_has_an_id_already_is_refused()
    {
        foreach (var isHeader in (bool[])[true, false])
        {
            var refused = await Assert.ThrowsAsync<ArgumentException>(() => Ledger("two-ids").AddWithIdAsync("two-ids", "mine", isHeader));
            Assert.Contains("MessageId", refused.Message);
        }
    }

    [Fact]
    public async Task Flush_throws_when_the_write_of_another_call_has_ended_the_activation()
    {
        await CreateAsync("reached");
        var grain = _silo.Client.GetGrain<IInterleavedLedgerGrain>("ended-1");
        var fault = WriteFault.None;
        _storage.Fault = _ => Interlocked.Exchange(ref fault, WriteFault.None);
        var flush = grain.BookAndFlushAsync("nowhere", 1, "1");
        await Wait.UntilAsync(() => _storage.Find(grain.GetGrainId()) is not null, "the message is stored");
        fault = WriteFault.Lost;
        await Assert.ThrowsAnyAsync<Exception>(() => grain.BookAsync("reached", 2));
        Assert.Contains("activation", (await Assert.ThrowsAnyAsync<Exception>(() => flush)).Message);
        await OutboxFailureTests.UntilItSucceedsAsync(() => grain.BookAsync("reached", 3));
        await UntilDeliveredAsync("reached", 3);
    }

    [Fact]
    public async Task Write_has_nothing_of_a_call_that_interleaves_with_it()
    {
        await CreateAsync("apart");
        var grain = _silo.Client.GetGrain<IInterleavedLedgerGrain>("apart-1");
        await grain.SiloAsync();
        var (isWriting, mayWrite) = (new TaskCompletionSource(), new TaskCompletionSource());
        _storage.SerializesLate = true;
        _storage.BeforeWrite = _ =>
        {
            isWriting.TrySetResult();
            return mayWrite.Task;
        };
        var first = grain.DepositAsync("apart", 1);
        await isWriting.Task.WaitAsync(Wait.Deadline);
        var second = grain.DepositAsync("apart", 2);
        // Calls of the grain are in order: the second one has changed the state.
        await grain.SiloAsync();
        var writes = 0;
        _storage.Fault = _ => Interlocked.Increment(ref writes) == 2 ? WriteFault.Lost : WriteFault.None;
        mayWrite.SetResult();
        await first;
        await Assert.ThrowsAnyAsync<Exception>(() => second);
        await OutboxFailureTests.UntilItSucceedsAsync(async () => Assert.Equal((int[])[1], await grain.ReadAgainAsync()));
        await OutboxFailureTests.UntilItSucceedsAsync(grain.FlushAsync);
        Assert.Equal((int[])[1], await ReadAsync("apart"));
    }

    [Fact]
    public async Task Flush_without_a_token_does_not_wait_for_ever_for_a_topic()
    {
        var grain = Ledger("flush-1");
        await grain.BookAsync("nowhere", 1);
        Assert.Contains("nowhere", (await Assert.ThrowsAsync<TimeoutException>(grain.FlushAsync)).Message);
        // The grain takes calls again.
        Assert.Equal(["nowhere"], await grain.PendingAsync());
    }

    [Fact]
    public async Task Activation_ends_after_its_own_write_of_the_outbox()
    {
        await CreateAsync("own-writes", ("max.message.bytes", "2000"));
        var grain = Ledger("own-writes-1");
        await grain.SiloAsync();
        var (isParking, mayPark, parked) = (new TaskCompletionSource(), new TaskCompletionSource(), new TaskCompletionSource());
        var writes = 0;
        _storage.BeforeWrite = async _ =>
        {
            switch (Interlocked.Increment(ref writes))
            {
                case 2:
                    isParking.TrySetResult();
                    await mayPark.Task;
                    parked.TrySetResult();
                    break;
                case 3:
                    await parked.Task;
                    // The write above has come into force by then.
                    await Task.Delay(200);
                    break;
                default:
                    break;
            }
        };
        await grain.BookAsync("own-writes", 1, "1" + new string(' ', 5_000));
        await isParking.Task.WaitAsync(Wait.Deadline);
        await grain.DeactivateAsync();
        var next = grain.BookAsync("own-writes", 2);
        await Task.Delay(TimeSpan.FromSeconds(3));
        mayPark.SetResult();
        await next;
        Assert.Equal((int[])[1, 2], await grain.ReadAgainAsync());
    }

    [Fact]
    public async Task Wake_up_that_waits_for_long_is_moved_to_the_end_of_its_topic()
    {
        var grain = Ledger("long-1");
        await grain.BookAsync("later", 1);
        // The grain has written once. Each record that is accepted has a successor.
        await Wait.UntilAsync(async () => (await WakeUpQueuesAsync()).Sum(static queue => queue.Accepted) >= 2,
            "the wake-up is stored again");
        Assert.InRange((await WakeUpQueuesAsync()).Sum(static queue => queue.Unsettled), 1, 2);
        await CreateAsync("later");
        await UntilDeliveredAsync("later", 1);
        await Wait.UntilAsync(async () => (await WakeUpQueuesAsync()).All(static queue => queue.Unsettled == 0), "wake-ups are settled");
    }

    [Fact]
    public async Task Grain_whose_type_has_a_slash_is_woken()
    {
        var grain = _silo.Client.GetGrain<ISlashedLedgerGrain>("slash-1");
        await grain.BookAsync("slashed", 1);
        await grain.DeactivateAsync();
        await CreateAsync("slashed");
        await UntilDeliveredAsync("slashed", 1);
    }

    [Fact]
    public async Task Wake_ups_are_flushed_also_where_their_topic_was_made_without_it()
    {
        await _silo.Services.GetRequiredService<OutboxWakeUps>().Client.Broker.CreateTopicAsync(new NewTopic(OutboxWakeUps.Topic, 1, 1)
        {
            Configs = new Dictionary<string, string> { ["retention.until.settled"] = "true" },
        });
        Assert.Equal("true", await ConfigAsync("retention.until.settled"));
        await Ledger("flushed-1").BookAsync("nowhere", 1);
        Assert.Equal(("true", "1"), (await ConfigAsync("retention.until.settled"), await ConfigAsync("flush.messages")));

        async Task<string> ConfigAsync(string name) => (await _silo.Inside.DescribeTopicAsync(OutboxWakeUps.Topic)).Configs
            .Single(config => config.Name == name).Value;
    }

    [Fact]
    public async Task Wake_ups_are_flushed()
    {
        await Ledger("flushed-2").BookAsync("nowhere", 1);
        Assert.Equal("1", (await _silo.Inside.DescribeTopicAsync(OutboxWakeUps.Topic)).Configs
            .Single(static config => config.Name == "flush.messages").Value);
    }

    private ILedgerGrain Ledger(string key) => _silo.Client.GetGrain<ILedgerGrain>(key);

    private async Task CreateAsync(string topic, params (string Name, string Value)[] configs) =>
        await _silo.Inside.CreateTopicAsync(new NewTopic(topic, 1, 1)
        {
            Configs = configs.ToDictionary(static config => config.Name, static config => config.Value),
        });

    private async Task UntilDeliveredAsync(string topic, params int[] numbers)
    {
        await Wait.UntilAsync(async () => (await ReadAsync(topic)).Length >= numbers.Length, $"messages of {topic} are delivered");
        Assert.Equal(numbers, await ReadAsync(topic));
    }

    private async Task<int[]> ReadAsync(string topic) =>
        [.. (await RecordsAsync(topic)).Select(static record => int.Parse(record.Value!, CultureInfo.InvariantCulture))];

    private async Task<List<ConsumeResult<string, string>>> RecordsAsync(string topic)
    {
        var end = (await _silo.Inside.DescribeTopicAsync(topic)).Partitions[0].HighWatermark;
        var records = new List<ConsumeResult<string, string>>();
        using var deadline = new CancellationTokenSource(Wait.Deadline);
        await using var reader = _client.CreatePartitionReader<string, string>();
        reader.Assign(new TopicPartition(topic, 0), ReadFrom.Earliest);
        while (end > 0 && (records.Count == 0 || records[^1].Offset < end - 1))
            records.Add(await reader.ReadAsync(deadline.Token));
        return records;
    }

    private async Task<List<QueueDescription>> WakeUpQueuesAsync()
    {
        var queues = new List<QueueDescription>();
        for (var partition = 0; partition < (await _silo.Inside.GetTopicAsync(OutboxWakeUps.Topic)).Partitions; partition++)
            queues.AddRange(await _silo.Inside.Queues.ListAsync(new TopicPartition(OutboxWakeUps.Topic, partition)));
        return queues;
    }
}
