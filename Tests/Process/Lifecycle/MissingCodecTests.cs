using OrleansMq.Tests.Process.Running;

namespace OrleansMq.Tests.Process.Lifecycle;

/// <summary>A broker on a machine without libzstd: what would need it is refused, and what is to be installed is named.</summary>
public sealed class MissingCodecTests : IDisposable
{
    private readonly TemporaryDirectory _directory = new();

    public void Dispose() => _directory.Dispose();

    [SkippableFact]
    public async Task Missing_library_is_warned_of_and_topics_and_records_that_need_it_are_refused()
    {
        Skip.IfNot(OperatingSystem.IsLinux(), "hides a library from the loader of Linux");
        Directory.CreateDirectory(_directory["libraries"]);
        // The loader takes the first of that name, and refuses a file that is no library.
        foreach (var name in (string[])["libzstd.so.1", "libzstd.so"])
            await File.WriteAllTextAsync(Path.Combine(_directory["libraries"], name), "");
        await using var broker = await RunningBroker.UpAsync(_directory["data"],
            new Dictionary<string, string?> { ["LD_LIBRARY_PATH"] = _directory["libraries"] });

        Assert.Single(broker.Program.Lines, static line => line.Contains("libzstd1", StringComparison.Ordinal));
        var created = (await broker.OmqAsync(["topic", "create", "zipped", "--config", "compression.type=zstd"])).Expect(1);
        Assert.Contains("apt install libzstd1", created.Error, StringComparison.Ordinal);
        (await broker.OmqAsync(["topic", "create", "compacted", "--config", "cleanup.policy=compact"])).Expect(0);
        for (var i = 0; i < 2; i++)
        {
            var refused = (await broker.OmqAsync(["produce", "compacted", "--compression", "zstd", "--key-separator", ":"],
                "a:b\n"u8.ToArray())).Expect(1);
            Assert.Contains("compacted-0: No library for Zstd", refused.Error, StringComparison.Ordinal);
        }
        (await broker.OmqAsync(["produce", "compacted", "--compression", "lz4", "--key-separator", ":"], "a:b\n"u8.ToArray())).Expect(0);
        Assert.Single(broker.Program.Lines, static line => line.Contains("compacted-0 refused a batch", StringComparison.Ordinal));
    }
}
