namespace OrleansMq.Tests.Process.Running;

/// <summary>The paths of the program under test.</summary>
internal static class Repository
{
    /// <summary>The folder that holds the launcher.</summary>
    public static string Root { get; } = FindRoot();

    /// <summary>The launcher.</summary>
    public static string Launcher { get; } = Path.Combine(Root, "omq");

    /// <summary>Makes the launcher run the flavour of these tests.</summary>
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
