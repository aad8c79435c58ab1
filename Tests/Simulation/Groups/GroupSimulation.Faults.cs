namespace OrleansMq.Tests.Simulation.Groups;

// Faults.
internal sealed partial class GroupSimulation
{
    private const int MostMembers = 7;

    private void Fault()
    {
        if (Quiet)
        {
            EndFaults();
            return;
        }
        After((Scenario.FaultEveryMs / 2) + _random.Next(Scenario.FaultEveryMs), Fault);
        switch (Scenario.Focus == GroupFocus.RestartedLeader && Chance(60) ? 11 : _random.Next(12))
        {
            case 0 or 1:
                CrashCoordinator();
                break;
            case 2 or 3:
                PauseCoordinator();
                break;
            case 4:
                // Starts another coordinator although this one is healthy: the directory was wrong.
                Depose();
                break;
            case 5:
                _storeDownUntil = Now + _random.Next(100, 5_000);
                if (IsTraced)
                    Tell($"the store is DOWN until {_storeDownUntil}");
                break;
            case 6 or 7:
                CrashMember();
                break;
            case 8 or 9:
                PauseMember();
                break;
            case 10:
                CutMemberOff();
                break;
            case 11:
                // Replaces the coordinator in the middle of concurrent actions of its members.
                if (Scenario.Focus == GroupFocus.RestartedLeader)
                    ChangeTopics();
                if (Live() is [_, ..])
                    CrashMember();
                After(_random.Next(Scenario.HeartbeatMs), CrashCoordinator);
                break;
        }
    }

    /// <summary>Ends all pauses and cut connections, and makes sure that a member is alive.</summary>
    private void EndFaults()
    {
        foreach (var member in _members)
            member.IsCutOff = false;
        // Ends duplicate processes of one instance id, since the second is refused while the first lives.
        foreach (var twice in Live().Where(m => m.InstanceId is not null).GroupBy(m => m.InstanceId).Where(g => g.Count() > 1).ToArray())
        {
            foreach (var member in twice.OrderByDescending(m => StoredEpochOf(m.MemberId) is not null).Skip(1))
                member.Crash();
        }
        // One of two members with the same instance id is fenced, and that may be the last.
        if (Live().Count == 0)
            StartMember();
        After(1_000, EndFaults);
    }

    private void CrashCoordinator()
    {
        if (_coordinator is not { } coordinator)
            return;
        if (IsTraced)
            Tell($"{coordinator} CRASHES");
        Stop(coordinator);
        _coordinator = null;
    }

    private void PauseCoordinator()
    {
        if (_coordinator is not { } coordinator || coordinator.PausedUntil > Now)
            return;
        coordinator.PausedUntil = Now + (Chance(50) ? _random.Next(100, 2_000) : _random.Next(2_000, 12_000));
        if (IsTraced)
            Tell($"{coordinator} is PAUSED until {coordinator.PausedUntil}");
        // It resumes beside its successor, or before it was missed.
        if (Chance(75))
            After(_random.Next(100, 2_000), () => Depose(coordinator));
    }

    private void Depose() => Depose(_coordinator);

    private void Depose(SimulatedCoordinator? coordinator)
    {
        if (coordinator is null || _coordinator != coordinator)
            return;
        _coordinator = null;
        if (IsTraced)
            Tell($"{coordinator} is declared dead");
    }

    private void CrashMember()
    {
        if (Live() is not [_, ..] live)
            return;
        var member = Choose(live);
        if (IsTraced)
            Tell($"{member} CRASHES");
        member.Crash();
        if (Chance(80))
            After(Chance(60) ? _random.Next(50, 1_000) : _random.Next(15_000), () => StartMember(member.InstanceId));
    }

    private void PauseMember()
    {
        if (Live() is not [_, ..] live)
            return;
        var member = Choose(live);
        member.PausedUntil = Math.Min(Now
            + (Chance(50) ? _random.Next(Scenario.SessionMs) : _random.Next(Scenario.SessionMs, 3 * Scenario.SessionMs)), FaultsEndAt);
        if (IsTraced)
            Tell($"{member} is PAUSED until {member.PausedUntil}");
        // A zombie: another process was started under its instance id meanwhile.
        if (member.InstanceId is { } instance && Chance(40))
            After(_random.Next(Scenario.SessionMs), () => StartMember(instance));
    }

    private void CutMemberOff()
    {
        if (Live() is not [_, ..] live)
            return;
        var member = Choose(live);
        member.IsCutOff = true;
        if (IsTraced)
            Tell($"{member} is CUT OFF");
        After(_random.Next(500, 2 * Scenario.SessionMs), () => member.IsCutOff = false);
    }
}
