using System.CommandLine;
using OrleansMq.Cli.CommandLine;
using OrleansMq.Cli.Records;
using OrleansMq.Cli.Replicas;

namespace OrleansMq.Cli.Queues;

/// <summary><c>omq queue consume TOPIC QUEUE</c>: writes values to standard output, one per line, and completes what was
/// written.</summary>
internal static class QueueConsumeCommand
{
    /// <summary>Creates the command.</summary>
    public static Command Create()
    {
        var topic = BrokerCall.TopicArgument();
        var queue = new Argument<string>("QUEUE") { Description = "The queue's name; it exists already." };
        var max = new Option<long?>("--max") { Description = "End after this many records.", HelpName = "N" }.AtLeast(1);
        var idle = new Option<int?>("--idle-timeout") { Description = "End when no record was delivered for this long; by default only "
            + "Ctrl-C ends it.", HelpName = "MS" }.AtLeast(0);
        var separator = KeySeparator.Option("Write the key and this before each value.");
        var json = new Option<bool>("--json") { Description = "Write each record as a line of JSON; bytes that are not text are base64." };
        var command = new OmqCommand("consume",
            "Writes a queue's records to standard output, one value per line, and waits for more. What was printed is completed.",
            "omq queue consume orders mails --max 10", "omq queue consume orders mails --json --idle-timeout 1000 | jq .value")
        {
            topic, queue, max, idle, separator, json,
        };
        var server = ServerOption.AddTo(command);
        command.SetAction(async (parsed, cancellationToken) =>
        {
            using var output = RecordOutputs.Create(parsed, separator, json);
            using var broker = server.Connect(parsed);
            var run = new QueueConsumeRun(broker, parsed.GetRequiredValue(topic), parsed.GetRequiredValue(queue), output)
            {
                MaxRecords = parsed.GetValue(max) ?? long.MaxValue,
                IdleTimeout = parsed.GetValue(idle) is { } milliseconds ? TimeSpan.FromMilliseconds(milliseconds) : null,
            };
            await run.RunAsync(cancellationToken).ConfigureAwait(false);
        });
        return command;
    }
}
