namespace OrleansMq.Tests.Benchmarks.Peers.Load;

/// <summary>The subcommand <c>load</c>.</summary>
internal static class LoadCommand
{
    public static int Run(string[] arguments)
    {
        if (arguments.FirstOrDefault() is not ("produce" or "fetch" or "transactions"))
        {
            Console.WriteLine($"{LoadOptions.Usage}\n{TransactionOptions.Usage}");
            return arguments.FirstOrDefault() is null or "--help" or "-h" ? 0 : 2;
        }
        try
        {
            var options = new CommandArguments(arguments[1..]);
            if (arguments[0] == "transactions")
            {
                Console.WriteLine(TransactionLoad.Run(TransactionOptions.Parse(options)).ToLine());
                return 0;
            }
            var result = LoadRun.Run(LoadOptions.Parse(arguments[0] == "produce", options));
            var json = options.Text("--json");
            if (json is not (null or "-"))
                File.WriteAllText(json, result.ToJson() + Environment.NewLine);
            Console.WriteLine(json == "-" ? result.ToJson() : result.ToLine());
            return 0;
        }
        catch (Exception wrong) when (wrong is LoadFailedException or System.Net.Sockets.SocketException or FormatException)
        {
            Console.Error.WriteLine($"load: {wrong.Message}");
            return 1;
        }
    }
}
