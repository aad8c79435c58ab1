using System.CommandLine;
using OrleansMq.Cli.CommandLine;
using OrleansMq.Client;

namespace OrleansMq.Cli.Queues;

/// <summary><c>omq queue alter TOPIC QUEUE</c>.</summary>
internal static class QueueAlterCommand
{
    /// <summary>Creates the command.</summary>
    public static Command Create()
    {
        var command = new OmqCommand("alter", "Changes how a queue delivers. What is not given stays as it is.",
            "omq queue alter orders mails --max-failures 10", "omq queue alter orders mails --max-length 100000 --overflow refuse-publish");
        var selection = new QueueSelection(command);
        var delivery = new DeliveryOptions(command);
        QueueCommands.Change(command, selection, "Altered", parsed => async (broker, queue, cancellationToken) =>
        {
            var partition = QueueSelection.PartitionOf(queue);
            return QueueDocument.Of(partition, await broker.Queues.AlterAsync(partition, queue.Name,
                delivery.Apply(parsed, queue.Options.ToOptions()), queue.Id, cancellationToken).ConfigureAwait(false));
        });
        return command;
    }
}
