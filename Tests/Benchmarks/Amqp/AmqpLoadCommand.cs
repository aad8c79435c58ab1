using System.Net.Sockets;
using OrleansMq.Tests.Benchmarks.Peers.Brokers;

namespace OrleansMq.Tests.Benchmarks.Amqp;

/// <summary>The subcommand <c>load amqp</c>.</summary>
internal static class AmqpLoadCommand
{
    public static int Run(string[] arguments)
    {
        if (arguments is [] or ["--help" or "-h", ..])
        {
            Console.WriteLine(AmqpLoadOptions.Usage);
            return 0;
        }
        try
        {
            var options = AmqpLoadOptions.Parse(new CommandArguments(arguments));
            using (var client = AmqpClient.Connect(options.Endpoint))
                client.DeclareQueue(options.Queue, "quorum");
            Console.WriteLine(AmqpLoad.Run(options, CancellationToken.None).ToLine());
            return 0;
        }
        catch (Exception wrong) when (wrong is PeerFailedException or InvalidOperationException or SocketException or FormatException)
        {
            Console.Error.WriteLine($"load amqp: {wrong.Message}");
            return 1;
        }
    }
}
