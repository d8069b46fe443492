echo "guest files of the construct tests"
