using BenchmarkDotNet.Running;

namespace OrleansMq.Tests.Benchmarks;

internal static class Program
{
    private static async Task<int> Main(string[] args)
    {
        switch (args.FirstOrDefault())
        {
            case "append-ceiling":
                return await AppendCeiling.RunAsync(args[1..]);
            case "--help" or "-h" or "help":
                Console.WriteLine("""
                    Benchmarks of OrleansMq. Run one with: dotnet run -c Release --project Tests/Benchmarks -- ...
                      --filter '*'       all of BenchmarkDotNet's, in a few minutes; '*Crc*' some; --job medium for better numbers
                      append-ceiling     the in-process append path beside a raw sequential write of the same bytes
                    """);
                return 0;
            default:
                BenchmarkSwitcher.FromAssembly(typeof(Program).Assembly).Run(args, new ShortConfig());
                return 0;
        }
    }
}
