using OrleansMq.Cli.Clusters;
using OrleansMq.Cli.CommandLine;
using OrleansMq.Tests.Process.Running;

namespace OrleansMq.Tests.Process.LocalClusters;

/// <summary>The files of a local cluster are the caller's alone.</summary>
public sealed class DirectoryOwnerTests : IDisposable
{
    private readonly TemporaryDirectory _directory = new();

    public void Dispose() => _directory.Dispose();

    [Fact]
    public void Directory_of_another_user_is_refused()
    {
        var path = "/";
        if (Environment.IsPrivilegedProcess)
        {
            path = Directory.CreateDirectory(_directory["others"]).FullName;
            using var chown = System.Diagnostics.Process.Start("chown", ["65534", path]);
            chown.WaitForExit();
        }
        Assert.Contains(path, Refusal(path), StringComparison.Ordinal);
    }

    [Fact]
    public void Directory_that_every_user_may_write_to_is_refused()
    {
        if (OperatingSystem.IsWindows())
            return;
        var path = Directory.CreateDirectory(_directory["shared"]).FullName;
        File.SetUnixFileMode(path, File.GetUnixFileMode(path) | UnixFileMode.OtherWrite);
        Assert.Contains($"chmod o-w {path}", Refusal(path), StringComparison.Ordinal);
    }

    [Fact]
    public void Directory_of_the_caller_is_accepted()
    {
        using var opened = ClusterDirectory.Open(_directory["own"]);
        Assert.Equal(_directory["own"], opened.Path);
    }

    private static string Refusal(string path) =>
        Assert.Throws<CommandFailedException>(() => ClusterDirectory.Open(path).Dispose()).Message;
}
