using OrleansMq.Consumers;
using OrleansMq.Outboxes;

namespace OrleansMq.Samples.OrderFlow;

/// <summary>Registers what the four grains need, for the program and for tests.</summary>
public static class OrderFlow
{
    /// <summary>The name of the stream provider.</summary>
    public const string StreamProvider = "events";

    // A booking is not given up while the database is away: about an hour of attempts before it is a dead letter.
    private const int Attempts = 750;
    private static readonly TimeSpan LongestPause = TimeSpan.FromSeconds(5);

    /// <summary>Adds the grains' services to a silo that is a broker. Its default grain storage and the topics are the caller's.</summary>
    /// <param name="silo">The silo.</param>
    /// <param name="outbox">Changes the options of the outboxes.</param>
    public static ISiloBuilder AddOrderFlow(this ISiloBuilder silo, Func<OrleansMqOutboxOptions, OrleansMqOutboxOptions>? outbox = null)
    {
        silo.AddOrleansMqClient().UseJson(OrderFlowJson.Default);
        return silo.AddOrleansMqOutbox(outbox)
            // The topics may be created after the silo has started.
            .AddOrleansMqConsumers(static options =>
                options with { MaxAttempts = Attempts, MaxRetryDelay = LongestPause, MissingTopic = MissingTopic.Wait })
            .AddOrleansMqTimers(static options => options with { MaxAttempts = Attempts, MaxRetryDelay = LongestPause })
            .AddOrleansMqStreams(StreamProvider, static options => options with { MaxAttempts = Attempts, MaxRetryDelay = LongestPause });
    }

    /// <summary>Creates the topics at the start of the silo. They keep a record until all grains have had it.</summary>
    public static OrleansMqClientBuilder AddOrderTopics(this OrleansMqClientBuilder client)
    {
        foreach (var topic in (string[])[Topics.Orders, Topics.Payments, Topics.Events])
            client.AddTopic(topic, partitions: 6, new Dictionary<string, string> { ["retention.until.settled"] = "true" });
        return client;
    }
}
