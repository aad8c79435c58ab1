using System.CommandLine;
using OrleansMq.Cli.CommandLine;

namespace OrleansMq.Cli.Amqp;

/// <summary><c>omq amqp ...</c>: moves definitions and messages from another broker that speaks AMQP 0-9-1.</summary>
internal static class AmqpCommands
{
    /// <summary>Creates the command.</summary>
    public static Command Create() =>
        new OmqCommand("amqp", "Moves to the AMQP port: imports the definitions of a RabbitMQ cluster, then its messages.",
            "omq amqp import-definitions --from http://user:password@old:15672",
            "omq amqp shovel --from amqp://user:password@old:5672 --queue orders")
        {
            ImportDefinitionsCommand.Create(), ShovelCommand.Create(),
        };
}
