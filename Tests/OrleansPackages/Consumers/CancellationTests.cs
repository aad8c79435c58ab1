using System.Text;
using Microsoft.Extensions.DependencyInjection;
using OrleansMq.Client;
using OrleansMq.Consumers;
using OrleansMq.Tests.OrleansPackages.Timers;

namespace OrleansMq.Tests.OrleansPackages.Consumers;

public interface IWorkerGrain : IGrainWithStringKey;

/// <summary>Works until its script ends.</summary>
[Consumes("cancel-time", MaxAttempts = 2), Consumes("cancel-stop"), Consumes("cancel-call")]
public sealed class WorkerGrain : Grain, IWorkerGrain, IGrainConsumer<Ordered>
{
    public Task ConsumeAsync(Ordered value, ConsumedRecord record, CancellationToken cancellationToken) =>
        ConsumerScript.ReceiveAsync(this, value.Number, record, cancellationToken);
}

/// <summary>When the token of a grain's work is cancelled, and what becomes of the record.</summary>
public sealed class CancellationTests : IAsyncLifetime
{
    private readonly TempDirectory _data = new();
    private TestSilo? _silo;

    private OrleansMqClient Client => new(_silo!.Inside);

    public Task InitializeAsync() => Task.CompletedTask;

    public async Task DisposeAsync()
    {
        if (_silo is not null)
            await _silo.DisposeAsync();
        _data.Dispose();
    }

    [Fact]
    public async Task Work_that_ends_with_its_token_after_the_time_of_a_call_is_an_attempt_and_dead_lettered_in_the_end()
    {
        var attempts = new List<int>();
        var cancelled = new List<CancellationToken>();
        ConsumerScript.On("cancel-time", async call =>
        {
            if (call.Number != 1)
                return;
            attempts.Add(call.Record.Attempt);
            cancelled.Add(call.Token);
            await Task.Delay(Timeout.Infinite, call.Token);
        });
        await StartAsync(TimeSpan.FromSeconds(2));
        await SendAsync("cancel-time", 1, 2);
        await Wait.UntilAsync(() => ConsumerScript.Received("cancel-time", "k").Length == 1, "the next record");
        Assert.Equal([1, 2], attempts);
        var next = ConsumerScript.Calls("cancel-time", "k")[0];
        Assert.Equal(2, next.Number);
        // The next call has a time of its own.
        Assert.DoesNotContain(next.Token, cancelled);
        await using var reader = Client.CreatePartitionReader<string, string>();
        reader.Assign(new TopicPartition("cancel-time.dead-letter", 0), ReadFrom.Earliest);
        var letter = await reader.ReadAsync().AsTask().WaitAsync(Wait.Deadline);
        Assert.Equal("""{"number":1}""", letter.Value);
        Assert.Contains("has not handled it in 00:00:02", Encoding.UTF8.GetString(letter.Headers.Single(static header =>
            Encoding.UTF8.GetString(header.Key.Span) == DeadLetterHeaders.Reason).Value!.Value.Span), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Work_on_a_silo_that_stops_is_cancelled_and_its_record_comes_again_without_counting_as_failed()
    {
        var cancelled = new TaskCompletionSource();
        var working = new TaskCompletionSource();
        ConsumerScript.On("cancel-stop", async call =>
        {
            if (cancelled.Task.IsCompleted)
                return;
            working.TrySetResult();
            await using var registered = call.Token.Register(() => cancelled.TrySetResult());
            await Task.Delay(Timeout.Infinite, call.Token);
        });
        await StartAsync();
        await SendAsync("cancel-stop", 1);
        await working.Task.WaitAsync(Wait.Deadline);
        await _silo!.DisposeAsync();
        await cancelled.Task.WaitAsync(Wait.Deadline);
        Assert.Empty(ConsumerScript.Calls("cancel-stop", "k"));

        await StartAsync();
        await Wait.UntilAsync(() => ConsumerScript.Received("cancel-stop", "k").Length == 1, "the record comes again");
        Assert.Equal(1, ConsumerScript.Calls("cancel-stop", "k")[0].Record.Attempt);
    }

    [Fact]
    public async Task Work_is_cancelled_when_its_caller_gives_up_and_the_next_call_begins_anew()
    {
        var working = new TaskCompletionSource();
        ConsumerScript.On("cancel-call", async call =>
        {
            if (call.Record.IsRedelivered)
                return;
            working.SetResult();
            await Task.Delay(Timeout.Infinite, call.Token);
        });
        await StartAsync();
        var receiver = _silo!.Services.GetRequiredService<IGrainFactory>().GetGrain(GrainId.Create("worker", "k"))
            .AsReference<IRecordReceiver>();
        using var giveUp = new CancellationTokenSource();
        var first = receiver.DeliverAsync(Delivery(5, isRedelivered: false), giveUp.Token);
        await working.Task.WaitAsync(Wait.Deadline);
        await giveUp.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => first);
        DeliveryAnswer? answer = null;
        // The activation that gave up ends first.
        await Wait.UntilAsync(async () => (answer = await receiver.DeliverAsync(Delivery(5, isRedelivered: true))).Outcome
            != DeliveryOutcome.Unreachable, "the next activation handles it");
        Assert.Equal((1, DeliveryOutcome.Served), (answer!.Count, answer.Outcome));
        Assert.Equal([5], ConsumerScript.Received("cancel-call", "k"));
    }

    [Fact]
    public async Task Timer_whose_work_ends_with_its_token_is_an_attempt_and_comes_again()
    {
        var attempts = new List<int>();
        CancellationToken cancelled = default;
        TimerScript.On("cancel-timer", async call =>
        {
            attempts.Add(call.Timer.Attempt);
            if (call.Timer.Attempt > 1)
                return;
            cancelled = call.Token;
            await Task.Delay(Timeout.Infinite, call.Token);
        });
        await StartAsync(TimeSpan.FromMilliseconds(200));
        await _silo!.Client.GetGrain<ITimedGrain>("cancel-timer").ScheduleAsync(DateTimeOffset.UtcNow, 7, "due");
        await Wait.UntilAsync(() => TimerScript.Received("cancel-timer").Length == 1, "the timer comes again");
        Assert.Equal([1, 2], attempts);
        Assert.True(cancelled.IsCancellationRequested);
        // The next call has a time of its own.
        Assert.NotEqual(cancelled, TimerScript.Calls("cancel-timer")[0].Token);
    }

    private async Task StartAsync(TimeSpan? workTimeout = null)
    {
        _silo = await TestSilo.StartAsync(_data.Path, silo =>
        {
            SharedStorage.AddTo(silo);
            silo.AddOrleansMqTimers(options => options with
            {
                RetryDelay = TimeSpan.FromMilliseconds(10),
                RefreshInterval = TimeSpan.FromMilliseconds(50),
                WorkTimeout = workTimeout ?? options.WorkTimeout,
            });
            silo.AddOrleansMqConsumers(options => options with
            {
                MissingTopic = MissingTopic.Create,
                RetryDelay = TimeSpan.FromMilliseconds(10),
                MaxRetryDelay = TimeSpan.FromMilliseconds(50),
                Serves = static type => type == typeof(WorkerGrain),
                WorkTimeout = workTimeout ?? options.WorkTimeout,
            });
        });
    }

    private static RecordDelivery Delivery(int number, bool isRedelivered) => new("cancel-call", Guid.Empty, Guid.Empty, 0,
        Encoding.UTF8.GetBytes("k"), [new ConsumedItem(number, 0, Encoding.UTF8.GetBytes($$"""{"number":{{number}}}"""), [],
            isRedelivered ? 2 : 1, isRedelivered)]);

    private async Task SendAsync(string topic, params int[] numbers)
    {
        await using var producer = Client.CreateProducer<string, string>();
        foreach (var number in numbers)
            await producer.SendAsync(new(topic, "k", $$"""{"number":{{number}}}"""));
    }
}
