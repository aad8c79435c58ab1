using System.Collections.Concurrent;
using System.Text;
using Microsoft.Extensions.DependencyInjection;
using OrleansMq.Api;
using OrleansMq.Client;
using OrleansMq.Consumers;

namespace OrleansMq.Tests.OrleansPackages.Consumers;

public interface IEnqueuingGrain : IGrainWithStringKey
{
    Task EnqueueAsync(int number, string topic = "consume-work");
}

/// <summary>Enqueues work.</summary>
[Orleans.Concurrency.StatelessWorker]
public sealed class EnqueuingGrain(IProducer<string, Ordered> jobs) : Grain, IEnqueuingGrain
{
    public Task EnqueueAsync(int number, string topic) =>
        jobs.SendAsync(new(topic, $"{number % 3}", new Ordered(number))).AsTask();
}

public interface ITakingGrain : IGrainWithStringKey
{
    Task<int> TakeAsync(string queue, CancellationToken cancellationToken = default);
}

/// <summary>Takes work from a queue, one job a call.</summary>
public sealed class TakingGrain(OrleansMqClient client) : Grain, ITakingGrain
{
    public async Task<int> TakeAsync(string queue, CancellationToken cancellationToken)
    {
        await using var jobs = client.CreateQueueConsumer<string?, Ordered>(new QueueConsumerOptions
        {
            Topic = this.GetPrimaryKeyString(),
            Queue = queue,
        }, values: Serdes.Json<Ordered>());
        var job = await jobs.ReceiveAsync(cancellationToken);
        await job.CompleteAsync();
        return job.Value.Number;
    }
}

public interface IWorkGrain : IGrainWithStringKey;

/// <summary>Consumes work.</summary>
[Consumes("consume-work")]
public sealed class WorkGrain : Grain, IWorkGrain, IGrainConsumer<Ordered>
{
    public Task ConsumeAsync(Ordered value, ConsumedRecord record, CancellationToken cancellationToken) =>
        ConsumerScript.ReceiveAsync(this, value.Number, record, cancellationToken);
}

/// <summary>Work that grains enqueue: for grains by its key, and for workers that share a queue.</summary>
public sealed class WorkQueueTests
{
    private const int Jobs = 60;

    [Fact]
    public async Task Job_of_a_grain_comes_to_the_grain_of_its_key_and_to_one_of_the_workers_again_when_that_fails()
    {
        using var data = new TempDirectory();
        await using var silo = await TestSilo.StartAsync(data.Path, static silo => silo.AddOrleansMqConsumers(static options => options with
        {
            MissingTopic = MissingTopic.Create,
            Serves = static type => type == typeof(WorkGrain),
        }).AddOrleansMqClient().AddProducer<string, Ordered>(values: Serdes.Json<Ordered>()));
        var client = silo.Services.GetRequiredService<OrleansMqClient>();
        var done = new ConcurrentQueue<(int Worker, int Number)>();
        var failed = new ConcurrentDictionary<int, bool>();
        using var stopping = new CancellationTokenSource();
        await Task.WhenAll(Enumerable.Range(0, Jobs).Select(number =>
            silo.Client.GetGrain<IEnqueuingGrain>($"{number % 2}").EnqueueAsync(number)));
        var workers = Enumerable.Range(0, 2).Select(WorkAsync).ToArray();
        await Wait.UntilAsync(() => done.Count >= Jobs, "all jobs are done");
        for (var key = 0; key < 3; key++)
        {
            await Wait.UntilAsync(() => ConsumerScript.Received("consume-work", $"{key}").Length >= Jobs / 3, $"jobs of {key}");
            Assert.Equal(Enumerable.Range(0, Jobs).Where(number => number % 3 == key),
                ConsumerScript.Received("consume-work", $"{key}").Order());
        }
        await stopping.CancelAsync();
        await Task.WhenAll(workers).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing
            | ConfigureAwaitOptions.ContinueOnCapturedContext);
        Assert.Equal(Enumerable.Range(0, Jobs), done.Select(static one => one.Number).Order());
        Assert.Equal(Jobs / 10, failed.Count);

        async Task WorkAsync(int worker)
        {
            await using var consumer = client.CreateQueueConsumer<string?, Ordered>(new QueueConsumerOptions
            {
                Topic = "consume-work",
                Queue = "workers",
                Create = new QueueOptions { MaxFailures = 5, RetryDelay = TimeSpan.FromMilliseconds(10) },
            }, values: Serdes.Json<Ordered>());
            await consumer.RunAsync((message, _) =>
            {
                if (message.Value.Number % 10 == 0 && failed.TryAdd(message.Value.Number, true))
                    throw new InvalidOperationException("once");
                done.Enqueue((worker, message.Value.Number));
                return ValueTask.CompletedTask;
            }, concurrency: 4, stopping.Token);
        }
    }

    [Fact]
    public async Task Job_of_a_grain_that_none_has_taken_in_its_time_to_live_is_dead_lettered_and_later_ones_are_taken_by_grains()
    {
        const string Topic = "expiring-work";
        var partition = new TopicPartition(Topic, 0);
        using var data = new TempDirectory();
        await using var silo = await TestSilo.StartAsync(data.Path, static silo => silo.AddOrleansMqClient()
            .AddProducer<string, Ordered>(values: Serdes.Json<Ordered>()));
        var client = silo.Services.GetRequiredService<OrleansMqClient>();
        await silo.Inside.CreateTopicAsync(new NewTopic(Topic, 1)
        {
            Configs = new Dictionary<string, string> { ["message.timestamp.type"] = "LogAppendTime" },
        });
        await client.Admin.CreateTopicAsync($"{Topic}.dead-letter", 1);
        var options = new QueueOptions { TimeToLive = TimeSpan.FromMilliseconds(50), DeadLetterTopic = $"{Topic}.dead-letter" };
        await silo.Inside.Queues.CreateAsync(partition, new NewQueue("workers") { Options = options });
        await EnqueueAsync(0, 1, 2);
        await using var reader = client.CreatePartitionReader<string, string>();
        reader.Assign(new TopicPartition($"{Topic}.dead-letter", 0), ReadFrom.Earliest);
        for (var number = 0; number < 3; number++)
        {
            var letter = await reader.ReadAsync().AsTask().WaitAsync(Wait.Deadline);
            Assert.Equal($$"""{"number":{{number}}}""", letter.Value);
            Assert.Equal("expired", Encoding.UTF8.GetString(letter.Headers.Single(static header =>
                Encoding.UTF8.GetString(header.Key.Span) == DeadLetterHeaders.Cause).Value!.Value.Span));
        }
        // A grain that has waited takes the next job; what has expired comes to none.
        await silo.Inside.Queues.AlterAsync(partition, "workers", options with { TimeToLive = TimeSpan.FromHours(1) });
        var taking = silo.Client.GetGrain<ITakingGrain>(Topic).TakeAsync("workers");
        await EnqueueAsync(3);
        Assert.Equal(3, await taking.WaitAsync(Wait.Deadline));
        // A wait ends with its token, and the next job is left for another one.
        using var giveUp = new CancellationTokenSource();
        var waiting = silo.Client.GetGrain<ITakingGrain>(Topic).TakeAsync("workers", giveUp.Token);
        await Wait.UntilAsync(async () => await ConsumersAsync() == 1, "the grain waits");
        await giveUp.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => waiting).WaitAsync(Wait.Deadline);
        // Orleans ends the caller's wait before the grain knows.
        await Wait.UntilAsync(async () => await ConsumersAsync() == 0, "the grain waits no more");
        await EnqueueAsync(4);
        Assert.Equal(4, await silo.Client.GetGrain<ITakingGrain>(Topic).TakeAsync("workers").WaitAsync(Wait.Deadline));
        Assert.Equal(0, (await silo.Inside.Queues.DescribeAsync(partition, "workers")).Unsettled);

        async Task<int> ConsumersAsync() => (await silo.Inside.Queues.DescribeAsync(partition, "workers")).Consumers;

        Task EnqueueAsync(params int[] numbers) => numbers.Aggregate(Task.CompletedTask, async (before, number) =>
        {
            await before;
            await silo.Client.GetGrain<IEnqueuingGrain>("0").EnqueueAsync(number, Topic);
        });
    }
}
