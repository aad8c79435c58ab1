using Microsoft.Extensions.Hosting;
using OrleansMq.Client;

// An order each second, so that there is something to handle.
internal sealed class Shop(IProducer<string, string> producer) : BackgroundService
{
    public const string Topic = "orders";

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        for (var number = 1; !stoppingToken.IsCancellationRequested; number++)
        {
            var report = await producer.SendAsync(new(Topic, $"customer-{number % 7}", $"order {number}"), stoppingToken);
            Console.WriteLine($"Sent order {number} to {report.TopicPartition}, offset {report.Offset}");
            await Task.Delay(TimeSpan.FromSeconds(1), stoppingToken);
        }
    }
}
