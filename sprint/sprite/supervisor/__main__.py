from sprint.sprite.supervisor.agent_actions import main

raise SystemExit(main())
