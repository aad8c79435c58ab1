using Microsoft.Extensions.DependencyInjection;
using OrleansMq.Client;

namespace OrleansMq.Samples.Shop.Worker;

/// <summary>Registers the billing of orders, for the program and for tests.</summary>
public static class BillingExtensions
{
    /// <summary>Adds the topics, the handler of orders, and the producer of invoices. The bank is registered by the caller.</summary>
    public static OrleansMqClientBuilder AddBilling(this OrleansMqClientBuilder client) => client
        .UseJson(ShopJson.Default)
        .AddTopic(Topics.Orders, partitions: 3)
        .AddTopic(Topics.Invoices, partitions: 3, new Dictionary<string, string> { ["cleanup.policy"] = "compact" })
        .AddProducer<string, Invoice>()
        .AddMessageHandler<string, Order, Billing>(
            new() { GroupId = "billing", AutoOffsetReset = AutoOffsetReset.Earliest },
            new()
            {
                Topics = [Topics.Orders],
                // The orders of one customer one after the other, those of others beside them.
                Parallelism = HandlingParallelism.Key,
                Retry = new RetryPolicy { MaxAttempts = 4, Backoff = TimeSpan.FromMilliseconds(100) },
            });
}
