namespace OrleansMq.Tests.Process.Running;

/// <summary>Where the program under test lies.</summary>
internal static class Repository
{
    /// <summary>The folder that holds the launcher.</summary>
    public static string Root { get; } = FindRoot();

    /// <summary>The launcher.</summary>
    public static string Launcher { get; } = Path.Combine(Root, "omq");

    /// <summary>The flavour these tests were built in: the launcher runs the same.</summary>
    public static string OrleansSwitch { get; } =
#if ORLEANS
        "true";
#else
        "false";
#endif

    private static string FindRoot()
    {
        var directory = new DirectoryInfo(AppContext.BaseDirectory);
        while (directory is not null && !File.Exists(Path.Combine(directory.FullName, "OrleansMq.sln")))
            directory = directory.Parent;
        return directory?.FullName ?? throw new InvalidOperationException($"No OrleansMq.sln above {AppContext.BaseDirectory}.");
    }
}
