using OrleansMq.Client;

// Orders of one customer are handled one after the other. An order whose handler throws is tried again, and goes to orders.dead-letter
// in the end.
internal sealed class Billing : IMessageHandler<string, string>
{
    public ValueTask HandleAsync(ConsumeResult<string, string> record, CancellationToken cancellationToken)
    {
        Console.WriteLine($"Handled {record.Value} of {record.Key}");
        return ValueTask.CompletedTask;
    }
}
