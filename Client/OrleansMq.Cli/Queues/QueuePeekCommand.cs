using System.CommandLine;
using OrleansMq.Cli.CommandLine;
using OrleansMq.Cli.Records;

namespace OrleansMq.Cli.Queues;

/// <summary><c>omq queue peek TOPIC QUEUE</c>: writes the first records that are not settled.</summary>
internal static class QueuePeekCommand
{
    /// <summary>Creates the command.</summary>
    public static Command Create()
    {
        var max = new Option<int>("--max") { Description = "At most this many records of each partition, up to 1,000.", HelpName = "N",
            DefaultValueFactory = static _ => 10 }.AtLeast(1);
        var separator = KeySeparator.Option("Write the key and this before each value.");
        var command = new OmqCommand("peek",
            "Writes the first records that are not settled, whether a consumer holds them or not, one value per line. Changes nothing.",
            "omq queue peek orders mails", "omq queue peek orders mails --partition 0 --max 1 --json");
        var selection = new QueueSelection(command);
        command.Add(max);
        command.Add(separator);
        var (server, json) = (ServerOption.AddTo(command), JsonOption.AddTo(command, "Write each record as a line of JSON; bytes that are "
            + "not text are base64."));
        command.SetAction(async (parsed, cancellationToken) =>
        {
            using var output = RecordOutputs.Create(parsed, separator, json);
            using var broker = server.Connect(parsed);
            foreach (var queue in await selection.FindAsync(broker, parsed, cancellationToken).ConfigureAwait(false))
            {
                var partition = QueueSelection.PartitionOf(queue);
                var records = await broker.Queues.PeekAsync(partition, queue.Name, parsed.GetValue(max), cancellationToken)
                    .ConfigureAwait(false);
                foreach (var record in records)
                    output.Write(new(partition, record.Offset, record.Timestamp, record.Key, record.Value, record.Headers, -1));
            }
            output.Flush();
        });
        return command;
    }
}
