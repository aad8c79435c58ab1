using Microsoft.Extensions.DependencyInjection;
using Orleans.Streams;
using OrleansMq.Client;
using OrleansMq.Streams;

namespace OrleansMq.Tests.OrleansPackages.Streams;

/// <summary>The queue of a topic's explicit subscriptions is reset: replays under way are over, and the queue goes on for all of
/// them.</summary>
public sealed class QueueResetTests : IAsyncLifetime
{
    private readonly TempDirectory _data = new();
    private TestSilo _silo = null!;
    private OrleansMqClient _client = null!;

    public Task InitializeAsync() => StartAsync(TimeSpan.FromMilliseconds(100));

    public async Task DisposeAsync()
    {
        await _silo.DisposeAsync();
        _data.Dispose();
    }

    [Theory]
    [InlineData("reset-latest", false)]
    [InlineData("reset-earliest", true)]
    public async Task Queue_that_is_reset_ends_a_replay_and_delivers_from_its_first_event_on(string topic, bool isEarliest)
    {
        await _client.Admin.CreateTopicAsync(topic, 1);
        await SendAsync(topic, 0, 20);
        var (inCall, gate) = (new TaskCompletionSource(), new TaskCompletionSource());
        StreamScript.On(topic, (happened, _) =>
        {
            if (happened.Number != 3)
                return Task.CompletedTask;
            inCall.TrySetResult();
            return gate.Task;
        });
        await Reader(topic).SubscribeFromAsync(StreamOffset.Earliest);
        await inCall.Task.WaitAsync(Wait.Deadline);
        await ReceivedAsync(topic, [0, 1, 2]);

        await ResetAsync(topic, isEarliest ? OffsetSpec.Earliest : OffsetSpec.Latest);
        await Wait.UntilAsync(() => !Table.Replays.Any(), "the replay is over");
        gate.SetResult();
        await SendAsync(topic, 20, 25);

        // The call under way ends.
        await ReceivedAsync(topic, [0, 1, 2, 3, .. Enumerable.Range(isEarliest ? 0 : 20, isEarliest ? 25 : 5)]);
        await Wait.UntilAsync(async () => (await _silo.Inside.Queues.ListAsync(new TopicPartition(topic, 0)))
            .All(static queue => !queue.Name.Contains('@', StringComparison.Ordinal)), "the replay leaves no queue");
    }

    [Fact]
    public async Task Event_from_a_queue_that_was_reset_ends_a_replay_that_no_silo_has_looked_at_since()
    {
        const string Topic = "reset-at-once";
        await _client.Admin.CreateTopicAsync(Topic, 1);
        var handle = await Reader(Topic).SubscribeAsync();
        await _silo.DisposeAsync();
        await StartAsync(TimeSpan.FromHours(1));
        var sent = await SendAsync(Topic, 0, 20);
        await ReceivedAsync(Topic, Enumerable.Range(0, 20));
        var (inCall, gate) = (new TaskCompletionSource(), new TaskCompletionSource());
        StreamScript.On(Topic, (happened, _) =>
        {
            if (happened.Number != 8)
                return Task.CompletedTask;
            inCall.TrySetResult();
            return gate.Task;
        });
        await Reader(Topic).ResumeFromAsync(handle, new StreamOffset(0, sent[5]));
        await inCall.Task.WaitAsync(Wait.Deadline);
        await ReceivedAsync(Topic, [.. Enumerable.Range(0, 20), 5, 6, 7]);

        await ResetAsync(Topic, OffsetSpec.Latest);
        await SendAsync(Topic, 20, 25);
        await Wait.UntilAsync(() => !Table.Replays.Any(), "the replay is over");
        gate.SetResult();

        await ReceivedAsync(Topic, [.. Enumerable.Range(0, 20), 5, 6, 7, 8, .. Enumerable.Range(20, 5)]);
    }

    private async Task StartAsync(TimeSpan refreshInterval)
    {
        _silo = await TestSilo.StartAsync(_data.Path, silo => silo.AddOrleansMqStreams("test", options => options with
        {
            MaxBatch = 1,
            RefreshInterval = refreshInterval,
        }), static client => client.AddOrleansMqStreams("test"));
        _client = new OrleansMqClient(_silo.Inside);
    }

    private OrleansMqStreamProvider Provider =>
        (OrleansMqStreamProvider)_silo.Services.GetRequiredKeyedService<IStreamProvider>("test");

    private SubscriptionTable Table => Provider.Subscriptions.Table;

    private IReaderGrain Reader(string topic) => _silo.Client.GetGrain<IReaderGrain>($"{topic}/k/1");

    private async Task ResetAsync(string topic, OffsetSpec start) =>
        await _silo.Inside.Queues.ResetAsync(new TopicPartition(topic, 0), Provider.Topics.ExplicitQueue, start);

    // Returns the offsets.
    private async Task<List<long>> SendAsync(string topic, int from, int end)
    {
        var offsets = new List<long>();
        await using var producer = _client.CreateProducer<string, string>();
        for (var number = from; number < end; number++)
            offsets.Add((await producer.SendAsync(new(topic, "k", $$"""{"number":{{number}}}"""))).Offset);
        return offsets;
    }

    private int[] Received(string topic) => StreamScript.Received(topic, "k", Reader(topic).GetGrainId().ToString());

    private async Task ReceivedAsync(string topic, IEnumerable<int> expected)
    {
        var wanted = expected.ToArray();
        await Wait.UntilAsync(() => Task.FromResult(Received(topic).Length >= wanted.Length), $"{wanted.Length} events",
            () => Task.FromResult(string.Join(' ', Received(topic))));
        Assert.Equal(wanted, Received(topic));
    }
}
